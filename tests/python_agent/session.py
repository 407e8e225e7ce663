"""One session with the server: from Hello until either side closes."""

import dataclasses
import itertools
import queue
import threading
import time

import grpc
import wire
from google.protobuf.message import DecodeError
from journal import ENDED, KEPT, STARTED, Stale
from mailgun import CAPABILITIES, Unsupported
from wire import messages

REPORT_AGAIN = 5
PROBE_TIMEOUT = 20
STATES = {
    STARTED: messages.JournalEntry.STARTED,
    ENDED: messages.JournalEntry.ENDED,
    KEPT: messages.JournalEntry.KEPT,
}


class GiveBack(Exception):
    """The offer is not started, and why."""


@dataclasses.dataclass
class Work:
    """An offer that was taken, until it was given back or its outcome is in the journal."""

    offer: messages.Offer
    arrived: float
    go: bool = False
    withdrawn: bool = False
    word: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def id(self):
        return self.offer.attempt.id


class Outbox:
    """Frames that wait to be written. Beats overtake the others."""

    def __init__(self):
        self.frames = queue.PriorityQueue()
        self.number = itertools.count()

    def put(self, **frame):
        self.frames.put(("beat" not in frame, next(self.number), messages.AgentFrame(**frame)))

    def close(self):
        self.frames.put((True, next(self.number), None))

    def __iter__(self):
        return iter(lambda: self.frames.get()[2], None)


class Session:
    def __init__(self, agent):
        self.agent = agent
        self.outbox = Outbox()
        self.works = {}
        self.reported = {}
        self.over = threading.Event()
        self.welcome = None
        self.superseded = self.renamed = self.draining = False
        self.call = None

    def run(self):
        """Talks until the session ends; the gRPC error it ended with, if any."""
        url, options = self.agent.options.server, self.agent.options
        with wire.dial(url) as control, wire.dial(url) as bodies:
            self.bodies = wire.AgentsStub(bodies)
            self.number, head, entries = self.agent.journal.begin_session()
            hello = messages.Hello(
                protocol_min=1,
                protocol_max=1,
                agent=options.id,
                provider=options.provider or options.id,
                kind="mailgun",
                window=options.window,
                journal=bytes.fromhex(head["name"]),
                boot=head["boot"],
                incarnation=bytes.fromhex(head["incarnation"]),
                capabilities=CAPABILITIES,
            )
            for attempt, state in entries:
                hello.entries.add(attempt=attempt, state=STATES[state])
            self.outbox.put(hello=hello)
            token = self.agent.token
            metadata = [("authorization", f"Bearer {token}")] if token else []
            self.call = wire.AgentsStub(control).Session(iter(self.outbox), metadata=metadata)
            try:
                for frame in self.call:
                    self._take(frame, time.monotonic())
            except grpc.RpcError as error:
                return error
            finally:
                self.over.set()
                self.call.cancel()
                self.outbox.close()
                self.wake()
        return None

    def wake(self):
        """Lets everything that waits look again at what has changed."""
        for work in list(self.works.values()):
            work.word.set()
        self.agent.news.set()

    def _take(self, frame, now):
        """One frame of the server. Those it does not know are passed over."""
        kind = frame.WhichOneof("frame")
        if kind == "welcome":
            self._welcomed(frame.welcome)
        elif kind == "offer":
            work = Work(frame.offer, now)
            self.works[work.id] = work
            self.agent.places.submit(self._attempt, work)
        elif kind in ("go", "no_go"):
            work = self.works.get(getattr(frame, kind).attempt)
            if work:
                work.go, work.withdrawn = kind == "go", work.withdrawn or kind == "no_go"
                work.word.set()
        elif kind == "ack":
            self.agent.journal.acknowledge(frame.ack.attempt, frame.ack.forget)
            self.agent.news.set()
        elif kind == "drain":
            self.draining = True
            self.wake()
        elif kind == "superseded":
            self.superseded = True
            self.call.cancel()
        elif kind == "probe_request":
            question = (frame.probe_request.id,)
            threading.Thread(target=self._probe, args=question, daemon=True).start()
        elif kind == "lookup_request":
            cannot = messages.CannotTell()
            report = messages.LookupReport(id=frame.lookup_request.id, cannot_tell=cannot)
            self.outbox.put(lookup_report=report)

    def _welcomed(self, welcome):
        if not self.agent.journal.belongs_to(welcome.incarnation):
            # The server's data is not what it was: its journal has a new name now.
            self.renamed = True
            self.call.cancel()
            return
        self.welcome = welcome
        threading.Thread(target=self._beat).start()
        threading.Thread(target=self._report).start()

    def _beat(self):
        for seq in itertools.count(1):
            self.outbox.put(beat=messages.Beat(seq=seq, in_flight=self.agent.in_flight))
            if self.over.wait(self.welcome.beat_ms / 1000):
                return

    def _report(self):
        """Reports each outcome until it is acknowledged, and says goodbye when it is time."""
        agent, draining = self.agent, False
        while not self.over.is_set():
            agent.news.clear()
            now = time.monotonic()
            ended = agent.journal.ended()
            for attempt, outcome in ended:
                if now - self.reported.get(attempt, -REPORT_AGAIN) >= REPORT_AGAIN:
                    self.reported[attempt] = now
                    outcome = messages.Outcome.FromString(outcome)
                    self.outbox.put(report=messages.Report(attempt=attempt, outcome=outcome))
            if agent.leaving.is_set() and not draining:
                draining = True
                self.outbox.put(draining=messages.Draining())
            if draining and not (ended or self.works or agent.in_flight):
                self.outbox.put(goodbye=messages.Goodbye())
                self.outbox.close()
                return
            agent.news.wait(1)

    def _attempt(self, work):
        """An offer from the place in the window to its outcome. Runs on one of the places."""
        agent, attempt = self.agent, work.offer.attempt
        hold = attempt.on_doubt != messages.RESEND
        try:
            self._check(work)
            form = agent.account.form(self._mail(work))
            if hold:
                self._ask(work)
            self._check(work)
            agent.journal.start(self.number, work.id, sync=hold)
        except (GiveBack, grpc.RpcError) as reason:
            self._back(work, wire.failed("NOT_STARTED", "AGENT", str(reason)[:500]))
        except (Unsupported, DecodeError) as reason:
            self._back(work, wire.failed("UNSUPPORTED", "AGENT", str(reason)))
        except Stale:
            pass
        else:
            with agent.sending():
                # Writing it down may have taken long. It has still not begun, and now the
                # journal has to say so.
                outcome = wire.failed("NOT_STARTED", "AGENT", "it was too late as it began")
                if self._left(work) > 0 and not agent.is_throttled:
                    deadline = work.arrived + attempt.timeout_ms / 1000
                    outcome = agent.send(*form, deadline)
                agent.journal.end(work.id, outcome.SerializeToString())
        finally:
            del self.works[work.id]
            agent.news.set()

    def _check(self, work):
        """Raises GiveBack where the attempt may no longer be started."""
        if self.over.is_set():
            raise GiveBack("the session is over")
        if work.withdrawn:
            raise GiveBack("withdrawn")
        if self.draining or self.agent.leaving.is_set():
            raise GiveBack("the agent drains")
        if self.agent.is_throttled:
            raise GiveBack("the provider asked for a pause")
        if self._left(work) <= 0:
            raise GiveBack("it came to its turn too late")

    def _left(self, work):
        """For how many seconds it may still be started."""
        return work.arrived + work.offer.validity_ms / 1000 - time.monotonic()

    def _mail(self, work):
        offer = work.offer
        content = offer.body
        if not offer.HasField("body"):
            wanted = messages.BodyRequest(session=self.welcome.session, attempt=work.id)
            chunks = self.bodies.Body(wanted, timeout=self._left(work))
            content = b"".join(chunk.content for chunk in chunks)
        if len(content) != offer.body_size:
            raise GiveBack(f"{len(content)} bytes came of {offer.body_size}")
        return messages.Email.FromString(content)

    def _ask(self, work):
        self.outbox.put(ask=messages.Ask(attempt=work.id))
        work.word.wait(self._left(work))
        if not work.go:
            self._check(work)
            raise GiveBack("no go came")

    def _back(self, work, outcome):
        """Reports what was not begun. Its absence from the journal says the same."""
        self.outbox.put(report=messages.Report(attempt=work.id, outcome=outcome))

    def _probe(self, number):
        failure = self.agent.account.probe(time.monotonic() + PROBE_TIMEOUT)
        self.outbox.put(probe_report=messages.ProbeReport(id=number, failure=failure))
