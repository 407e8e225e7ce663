"""An agent for one Mailgun account, written from docs/agent-protocol.md.

    SHIVNERI_AGENT_TOKEN=… MAILGUN_API_KEY=… \\
        python3 tests/python_agent --id mailgun-1 --provider mailgun --domain example.com

Needs grpcio, protobuf, protoc and its gRPC plugin; in Debian: python3-grpcio, python3-protobuf,
protobuf-compiler, protobuf-compiler-grpc.
"""

import argparse
import concurrent.futures
import contextlib
import os
import random
import signal
import sys
import threading
import time

import grpc
import wire
from journal import InUse, Journal
from mailgun import Mailgun
from session import Session

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5
LEAVE_WITHIN = 30
SHORTEST_ASKED, LONGEST_ASKED = 1, 24 * 3600
TEMPORARY, CONFIG = 75, 78
REFUSED = {
    grpc.StatusCode.UNAUTHENTICATED: CONFIG,
    grpc.StatusCode.PERMISSION_DENIED: CONFIG,
    grpc.StatusCode.FAILED_PRECONDITION: CONFIG,
    grpc.StatusCode.INVALID_ARGUMENT: CONFIG,
    grpc.StatusCode.UNIMPLEMENTED: CONFIG,
    grpc.StatusCode.ABORTED: TEMPORARY,
}


class Agent:
    """What outlives a session: the journal, the account, and the sends that run."""

    def __init__(self, options):
        self.options = options
        self.token = os.environ.get("SHIVNERI_AGENT_TOKEN")
        self.account = Mailgun(options.base_url, options.domain, os.environ["MAILGUN_API_KEY"])
        lost = wire.failed("IN_DOUBT_STRONG", "AGENT", "the agent died while it ran")
        state = options.state or f"shivneri-agent-{options.id}"
        self.journal = Journal(state, lost.SerializeToString())
        # As many threads as the window has places: an offer beyond them waits for one.
        self.places = concurrent.futures.ThreadPoolExecutor(options.window)
        self.lock = threading.Lock()
        self.in_flight = 0
        self.throttled_until = 0.0
        self.leaving = threading.Event()
        self.news = threading.Event()
        self.session = None

    @contextlib.contextmanager
    def sending(self):
        """Counts a send while it runs."""
        with self.lock:
            self.in_flight += 1
        try:
            yield
        finally:
            with self.lock:
                self.in_flight -= 1

    def send(self, boundary, form, deadline):
        """Calls the account once. Whatever goes wrong in here has an outcome too."""
        try:
            outcome = self.account.send(boundary, form, deadline)
        except Exception as error:
            return wire.failed("IN_DOUBT_STRONG", "AGENT", f"a defect: {type(error).__name__}")
        if outcome.failed.kind == wire.messages.Failure.THROTTLED:
            self._pause(outcome.failed.retry_after_ms / 1000)
        return outcome

    def _pause(self, asked):
        """Nothing is started for so many seconds, or the shortest pause; a longer one stays."""
        until = time.monotonic() + min(max(asked, SHORTEST_ASKED), LONGEST_ASKED)
        with self.lock:
            self.throttled_until = max(self.throttled_until, until)

    @property
    def is_throttled(self):
        return time.monotonic() < self.throttled_until

    def serve(self):
        """Dials again and again until it must not or need not any more; the exit code."""
        pause = FIRST_PAUSE
        while not self.leaving.is_set():
            self.session = Session(self)
            error = self.session.run()
            if self.session.superseded:
                return TEMPORARY
            if self.session.renamed:
                continue
            if self.session.welcome:
                pause = FIRST_PAUSE
            elif error and error.code() in REFUSED:
                print(f"refused: {error.details()}", file=sys.stderr)
                return REFUSED[error.code()]
            self.leaving.wait(random.uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE)
        return 0

    def leave_when_told(self, signals):
        """The first signal drains, and so does the time; a second one cuts it short."""
        signal.sigwait(signals)
        self.leaving.set()
        session = self.session
        if session and session.welcome:
            session.wake()
        elif session and session.call:
            session.call.cancel()
        signal.sigtimedwait(signals, LEAVE_WITHIN)
        os._exit(1)


def options():
    parser = argparse.ArgumentParser(description="A Shivneri agent for one Mailgun account.")
    parser.add_argument("--server", default="http://127.0.0.1:8526")
    parser.add_argument("--id", required=True, help="the agent's identity")
    parser.add_argument("--provider", help="the account it serves; default: the id")
    parser.add_argument("--state", help="the journal's directory")
    parser.add_argument("--window", type=int, default=64, help="sends at once")
    parser.add_argument("--domain", required=True, help="the sending domain at Mailgun")
    parser.add_argument("--base-url", default="https://api.mailgun.net")
    return parser.parse_args()


def main():
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is there, so that all leave them to the one that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        agent = Agent(options())
    except InUse as error:
        print(error, file=sys.stderr)
        return TEMPORARY
    threading.Thread(target=agent.leave_when_told, args=(signals,), daemon=True).start()
    code = agent.serve()
    # What runs comes to its end, and into the journal.
    agent.places.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
