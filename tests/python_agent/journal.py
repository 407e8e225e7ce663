"""What the agent has begun and how it ended, in a file that outlives it.

One record a line, its checksum before it. Records are only ever appended; now and then the file is
written anew with what it still holds.
"""

import fcntl
import json
import os
import pathlib
import sys
import threading
import uuid
import zlib

STARTED, ENDED, KEPT = "started", "ended", "kept"
BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


class InUse(Exception):
    """Another process has the journal."""


class Stale(Exception):
    """A later session has begun since the offer was made, or the attempt has."""


class Journal:
    """`lost` is the outcome of an attempt whose process died."""

    def __init__(self, directory, lost):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.entries = {}  # attempt: (state, outcome)
        self.session = 0
        self.head = {"name": "", "boot": "", "incarnation": ""}
        self.file = None
        self.owner = open(self.directory / "lock", "a")
        try:
            fcntl.flock(self.owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.owner.close()
            raise InUse(f"{directory} is in use by another agent") from None
        boot = BOOT.read_text().strip()
        if not self._read() or self.head["boot"] != boot:
            self.head = {"name": uuid.uuid4().hex, "boot": boot, "incarnation": ""}
        for attempt, (state, _) in self.entries.items():
            if state == STARTED:
                self.entries[attempt] = (ENDED, lost)
        self._rewrite()

    def begin_session(self):
        """Ends the right of all earlier offers to start, and lists what has begun: one step."""
        with self.lock:
            self.session += 1
            entries = [(attempt, state) for attempt, (state, _) in self.entries.items()]
            return self.session, dict(self.head), entries

    def belongs_to(self, incarnation):
        """Whether this journal's offers came from the same data; from now on they do."""
        with self.lock:
            known, incarnation = self.head["incarnation"], incarnation.hex()
            if known != incarnation:
                if known:
                    self.head["name"] = uuid.uuid4().hex
                self.head["incarnation"] = incarnation
                self._rewrite()
            return known in ("", incarnation)

    def start(self, session, attempt, sync):
        """Writes down that the attempt begins. Raises Stale where it no longer may."""
        with self.lock:
            if session != self.session or attempt in self.entries:
                raise Stale
            self._enter(attempt, STARTED)
            if sync:
                self._or_stop(os.fsync, self.file)

    def end(self, attempt, outcome):
        with self.lock:
            self._enter(attempt, ENDED, outcome)

    def acknowledge(self, attempt, forget):
        with self.lock:
            state, outcome = self.entries.get(attempt, (None, b""))
            if forget and state in (ENDED, KEPT):
                self._enter(attempt, None)
            elif state == ENDED:
                self._enter(attempt, KEPT, outcome)

    def ended(self):
        """The attempts that are to be reported, and their outcomes."""
        with self.lock:
            return [(a, outcome) for a, (state, outcome) in self.entries.items() if state == ENDED]

    def _enter(self, attempt, state, outcome=b""):
        record = {"attempt": attempt.hex(), "state": state, "outcome": outcome.hex()}
        self._write(self.file, record)
        self._apply(record)
        self.appended += 1
        if self.appended > 10_000 + 2 * len(self.entries):
            self._rewrite()

    def _apply(self, record):
        if "name" in record:
            self.head = record
        elif record["state"] is None:
            self.entries.pop(bytes.fromhex(record["attempt"]), None)
        else:
            entry = record["state"], bytes.fromhex(record["outcome"])
            self.entries[bytes.fromhex(record["attempt"])] = entry

    def _read(self):
        """Reads the file; whether it is there and nothing in it is damaged."""
        try:
            *lines, _torn = (self.directory / "journal").read_bytes().split(b"\n")
        except FileNotFoundError:
            return False
        sound = True
        for line in lines:
            checksum, _, text = line.partition(b" ")
            if checksum == b"%08x" % zlib.crc32(text):
                self._apply(json.loads(text))
            else:
                print("a record of the journal is damaged", file=sys.stderr)
                sound = False
        return sound

    def _rewrite(self):
        self._or_stop(self._replace)
        self.appended = 0

    def _replace(self):
        new = self.directory / "journal.new"
        if self.file is not None:
            os.close(self.file)
        self.file = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
        self._write(self.file, self.head)
        for attempt, (state, outcome) in self.entries.items():
            record = {"attempt": attempt.hex(), "state": state, "outcome": outcome.hex()}
            self._write(self.file, record)
        os.fsync(self.file)
        os.replace(new, self.directory / "journal")
        directory = os.open(self.directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def _write(self, file, record):
        text = json.dumps(record).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        while line:
            line = line[self._or_stop(os.write, file, line) :]

    def _or_stop(self, call, *arguments):
        """What can't be written down must not be done, nor anything after it."""
        try:
            return call(*arguments)
        except OSError as error:
            print(f"the journal can't be written: {error}", file=sys.stderr, flush=True)
            os._exit(1)
