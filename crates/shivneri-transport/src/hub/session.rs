//! One agent's session as the server sees it: what is offered, what it may still become, and
//! what is waiting to be written to the agent.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use shivneri_core::{
    AgentSession, Attempt, AttemptId, Capabilities, Clock, Email, Failure, Outcome, ProviderId,
    SendError,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    news::News,
    offered::{Offered, Pending},
    questions::{Questions, Reply},
    settling::Settling,
};
use crate::{
    frame::{encode_attempt, encode_email, uuid_bytes},
    protocol::{FRAMES_WAITING, INLINE_BODY},
    wire::{self, server_frame::Frame},
};

/// Something to write to the agent.
#[derive(Debug)]
pub(super) enum Outgoing {
    Frame(Frame),
    /// Told apart, because it matters whether it was ever handed to the socket.
    Offer(AttemptId, wire::Offer),
}

/// Whether the session takes offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// It has not beaten yet.
    NotYet,
    Offers,
    /// One side drains.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Session {
    /// Names it in body calls.
    pub(super) key: Uuid,
    pub(super) identity: AgentSession,
    pub(super) provider: ProviderId,
    state: Mutex<State>,
    pub(super) news: News,
    questions: Questions,
    settling: Arc<Settling>,
    over: watch::Sender<bool>,
    idle: Arc<Notify>,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    /// None once the session is over.
    out: Option<mpsc::Sender<Outgoing>>,
    taking: Taking,
    window: u32,
    capabilities: Arc<Capabilities>,
    offers: HashMap<AttemptId, Offered>,
    /// Attempts of earlier sessions that still run there and take places in the window.
    running: HashSet<AttemptId>,
}

/// What a new session starts from.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) identity: AgentSession,
    pub(super) provider: ProviderId,
    pub(super) window: u32,
    pub(super) capabilities: Capabilities,
    pub(super) running: HashSet<AttemptId>,
}

/// The offers that were out when a session ended.
#[derive(Debug)]
pub(super) struct Remains(Vec<(AttemptId, Offered)>);

impl Session {
    pub(super) fn new(
        opening: Opening,
        settling: Arc<Settling>,
        idle: Arc<Notify>,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<Outgoing>) {
        let (out, outgoing) = mpsc::channel(FRAMES_WAITING);
        let state = State {
            out: Some(out),
            taking: Taking::NotYet,
            window: opening.window,
            capabilities: Arc::new(opening.capabilities),
            offers: HashMap::new(),
            running: opening.running,
        };
        let session = Self {
            key: Uuid::new_v4(),
            identity: opening.identity,
            provider: opening.provider,
            state: Mutex::new(state),
            news: News::default(),
            questions: Questions::default(),
            settling,
            over: watch::Sender::new(false),
            idle,
            clock,
        };
        (session, outgoing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. Whether there was room and anybody to read it.
    pub(super) fn push(&self, frame: Frame) -> bool {
        self.state().push(Outgoing::Frame(frame))
    }

    /// Offers an email, if the window has room.
    pub(super) fn offer(
        self: &Arc<Self>,
        email: &Email,
        attempt: &Attempt,
        validity: Duration,
    ) -> Result<Pending, SendError> {
        // Encoded before the lock is taken: it may be large.
        let body = encode_email(email);
        let inline = body.len() <= INLINE_BODY;
        let offer = wire::Offer {
            attempt: Some(encode_attempt(attempt)),
            generation: self.identity.generation,
            validity_ms: u32::try_from(validity.as_millis()).unwrap_or(u32::MAX),
            body_size: body.len() as u64,
            body: inline.then(|| body.clone()),
        };
        let (answer, answered) = oneshot::channel();
        let offered = Offered::new(attempt, answer, (!inline).then_some(body));
        let mut state = self.state();
        let refused = |why: &str| Err(SendError::not_started(why));
        if state.out.is_none() {
            return refused("the agent's session is over");
        }
        if state.taking != Taking::Offers {
            return refused("the agent takes nothing new");
        }
        if state.in_flight() >= state.window as usize {
            return refused("the agent's window is full");
        }
        if state.offers.contains_key(&attempt.id) {
            return refused("the attempt is already offered");
        }
        if !state.push(Outgoing::Offer(attempt.id, offer)) {
            return refused("the agent reads too slowly");
        }
        state.offers.insert(attempt.id, offered);
        Ok(Pending::new(Arc::clone(self), attempt.id, answered))
    }

    /// The offer is about to be handed to the socket; `false` where it was withdrawn meanwhile, or
    /// can no longer be made.
    pub(super) fn hand_over(&self, attempt: AttemptId) -> bool {
        let mut state = self.state();
        let Some(offered) = state.offers.get_mut(&attempt) else { return false };
        if offered.is_forgotten(self.clock.now()) {
            let waiter = offered.waiter.take();
            state.offers.remove(&attempt);
            if waiter.is_some() {
                self.settling.begin(attempt, None);
            }
            drop(state);
            self.idle.notify_waiters();
            let why = "its key was forgotten before it could be offered";
            let outcome = Outcome::Failed(SendError::not_started(why));
            if waiter.is_some_and(|waiter| waiter.send(outcome).is_err()) {
                self.settling.cancel(attempt);
            }
            return false;
        }
        offered.handed_over = true;
        true
    }

    /// The encoded email of an offer that is out.
    pub(super) fn body(&self, attempt: AttemptId) -> Option<Bytes> {
        self.state().offers.get(&attempt)?.body.clone()
    }

    /// Nobody waits for the outcome any more, and nobody commits one.
    pub(super) fn abandon(&self, attempt: AttemptId) {
        let _ = self.state().withdraw(attempt);
        self.idle.notify_waiters();
    }

    /// Takes the offer back where it can be, and tells what is certain of it now; whoever asked
    /// commits that. `None` where its outcome was already handed over.
    pub(super) fn give_up(&self, attempt: AttemptId) -> Option<SendError> {
        let mut state = self.state();
        let error = state.withdraw(attempt)?;
        self.settling.begin(attempt, None);
        drop(state);
        self.idle.notify_waiters();
        Some(error)
    }

    /// The agent reported an end. Given back where nobody waits for it.
    pub(super) fn reported(
        self: &Arc<Self>,
        attempt: AttemptId,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let waiter = {
            let mut state = self.state();
            let waiter = state.offers.remove(&attempt).and_then(|offered| offered.waiter);
            if waiter.is_some() {
                self.settling.begin(attempt, Some(Arc::clone(self)));
            }
            waiter
        };
        self.idle.notify_waiters();
        match waiter {
            Some(waiter) => waiter.send(outcome).err().inspect(|_| self.settling.cancel(attempt)),
            None => Some(outcome),
        }
    }

    /// An attempt to be held asks to be started: its epoch, if it is still open and was not told
    /// before.
    pub(super) fn asked(&self, attempt: AttemptId) -> Option<u64> {
        let now = self.clock.now();
        self.state().offers.get(&attempt).filter(|offered| offered.may_go(now)).map(|o| o.epoch)
    }

    /// Answers that question. *Go* is said once at most, and only while the attempt is open.
    pub(super) fn answer(&self, attempt: AttemptId, granted: bool) {
        let bytes = uuid_bytes(attempt.as_uuid());
        let mut state = self.state();
        if let Some(offered) = state.offers.get_mut(&attempt)
            && granted
            && offered.may_go(self.clock.now())
        {
            offered.go = true;
            // Without room it was not said; whether it was is then of no matter to the agent,
            // and the server stays careful.
            let _ = state.push(Outgoing::Frame(Frame::Go(wire::Go { attempt: bytes })));
        } else {
            let _ = state.push(Outgoing::Frame(Frame::NoGo(wire::NoGo { attempt: bytes })));
        }
    }

    /// Tells the agent that the outcome is committed. What is in doubt it must remember, because
    /// its absence would later be taken for proof.
    pub(super) fn acknowledge(&self, attempt: AttemptId, outcome: &Outcome) {
        let doubtful = outcome.error().is_some_and(|e| matches!(e.failure(), Failure::InDoubt(_)));
        self.acknowledge_as(attempt, !doubtful);
    }

    pub(super) fn acknowledge_as(&self, attempt: AttemptId, forget: bool) {
        let ack = wire::Ack { attempt: uuid_bytes(attempt.as_uuid()), forget };
        // Without room for it the agent reports again, and is answered then.
        let _ = self.push(Frame::Ack(ack));
    }

    /// Puts a question to the agent; the answer comes with the id it was put under.
    pub(super) fn ask(
        &self,
        question: impl FnOnce(u64) -> Frame,
    ) -> Result<oneshot::Receiver<Reply>, SendError> {
        let (id, answered) = self.questions.open()?;
        if self.push(question(id)) {
            return Ok(answered);
        }
        self.questions.close(id);
        Err(SendError::not_started("the agent can't be asked now"))
    }

    pub(super) fn answered(&self, id: u64, reply: Reply) {
        self.questions.answered(id, reply);
    }

    pub(super) fn set_taking(&self, taking: Taking) {
        self.state().taking = taking;
    }

    pub(super) fn taking(&self) -> Taking {
        self.state().taking
    }

    pub(super) fn set_terms(&self, window: u32, capabilities: Option<Capabilities>) {
        let mut state = self.state();
        state.window = window;
        if let Some(capabilities) = capabilities {
            state.capabilities = Arc::new(capabilities);
        }
    }

    /// The places that new offers may take: those that attempts of earlier sessions still have
    /// at the agent are not among them.
    pub(super) fn window(&self) -> u32 {
        let state = self.state();
        state.window.saturating_sub(u32::try_from(state.running.len()).unwrap_or(u32::MAX))
    }

    /// An attempt of an earlier session has ended. Whether its place is free by that.
    pub(super) fn ended_before(&self, attempt: AttemptId) -> bool {
        self.state().running.remove(&attempt)
    }

    pub(super) fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.state().capabilities)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().in_flight()
    }

    /// Whether an offer of this session is still out.
    pub(super) fn is_idle(&self) -> bool {
        self.state().offers.is_empty()
    }

    /// Waits until the session is over.
    pub(super) async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as `self`.
        let _ = over.wait_for(|over| *over).await;
    }

    /// Ends the session: nothing more is queued or offered. `None` where it was over.
    pub(super) fn end(&self) -> Option<Remains> {
        let mut state = self.state();
        state.out.take()?;
        let offers: Vec<_> = state.offers.drain().collect();
        // Noted before anybody can know that the session is over, so that what the agent says
        // over its next connection waits for the commit.
        let waited_for = offers.iter().filter(|(_, offered)| offered.waiter.is_some());
        waited_for.for_each(|(attempt, _)| self.settling.begin(*attempt, None));
        drop(state);
        self.questions.close_all();
        self.over.send_replace(true);
        self.idle.notify_waiters();
        Some(Remains(offers))
    }

    /// Tells those who wait what is known of the offers that were out.
    pub(super) fn release(&self, remains: Remains) {
        for (attempt, offered) in remains.0 {
            let error = offered.given_up("the agent's connection closed");
            if let Some(waiter) = offered.waiter
                && waiter.send(Outcome::Failed(error)).is_err()
            {
                self.settling.cancel(attempt);
            }
        }
    }
}

impl State {
    fn push(&self, outgoing: Outgoing) -> bool {
        self.out.as_ref().is_some_and(|out| out.try_send(outgoing).is_ok())
    }

    fn in_flight(&self) -> usize {
        self.offers.len() + self.running.len()
    }

    /// Takes the waiting away from an offer, and the offer itself where the agent can't act on
    /// it. An agent that has it is told to give it back unless it has begun.
    fn withdraw(&mut self, attempt: AttemptId) -> Option<SendError> {
        let offered = self.offers.get_mut(&attempt)?;
        offered.waiter.take()?;
        let error = offered.given_up("no answer from the agent in time");
        if offered.handed_over {
            let no_go = wire::NoGo { attempt: uuid_bytes(attempt.as_uuid()) };
            // Without room for it the agent learns from the offer's validity.
            let _ = self.push(Outgoing::Frame(Frame::NoGo(no_go)));
        }
        if error.is_not_started() {
            self.offers.remove(&attempt);
        }
        Some(error)
    }
}
