//! An offer that is out, and the one who waits for its outcome.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use shivneri_core::{
    Attempt, AttemptId, Cause, Doubt, Failure, OnDoubt, Outcome, Receipt, SendError,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::session::Session;

#[derive(Debug)]
pub(super) struct Offered {
    /// None once nobody waits any more; the offer then still takes a place in the window.
    pub(super) waiter: Option<oneshot::Sender<Outcome>>,
    /// Whether the offer was handed to the socket: from then on the agent may act on it.
    pub(super) handed_over: bool,
    pub(super) on_doubt: OnDoubt,
    pub(super) go: bool,
    pub(super) epoch: u64,
    /// Until when the provider knows the request that it makes again; none where it is a new one.
    known_until: Option<SystemTime>,
    /// The encoded email, where it did not travel with the offer.
    pub(super) body: Option<Bytes>,
}

impl Offered {
    pub(super) fn new(
        attempt: &Attempt,
        waiter: oneshot::Sender<Outcome>,
        body: Option<Bytes>,
    ) -> Self {
        Self {
            waiter: Some(waiter),
            handed_over: false,
            on_doubt: attempt.on_doubt,
            go: false,
            epoch: attempt.epoch,
            known_until: attempt.key_until.filter(|_| attempt.request != attempt.number),
            body,
        }
    }

    /// Whether *go* may be said: the attempt is to be held, somebody waits for it, it was not said
    /// before, and the provider still knows what is repeated.
    pub(super) fn may_go(&self, now: SystemTime) -> bool {
        let waits = self.on_doubt == OnDoubt::Hold && !self.go && self.waiter.is_some();
        waits && !self.is_forgotten(now)
    }

    /// Whether it repeats a request whose key the provider has forgotten, so that it would send the
    /// mail a second time.
    pub(super) fn is_forgotten(&self, now: SystemTime) -> bool {
        self.known_until.is_some_and(|until| until <= now)
    }

    /// What is certain about an offer that is given up now: it was not started if the agent
    /// never saw it, or needed a *go* that it never got.
    pub(super) fn given_up(&self, why: &str) -> SendError {
        if !self.handed_over {
            return SendError::not_started(format!("{why}; the offer had not been written"));
        }
        if self.on_doubt == OnDoubt::Hold && !self.go {
            return SendError::not_started(format!("{why}; it was never told to go"));
        }
        SendError::new(Failure::InDoubt(Doubt::Strong), why).caused_by(Cause::Agent)
    }
}

/// Waits for an offer's outcome. Dropping it gives the offer up.
#[derive(Debug)]
pub(super) struct Pending {
    session: Arc<Session>,
    attempt: AttemptId,
    answer: oneshot::Receiver<Outcome>,
    settled: bool,
}

impl Pending {
    pub(super) fn new(
        session: Arc<Session>,
        attempt: AttemptId,
        answer: oneshot::Receiver<Outcome>,
    ) -> Self {
        Self { session, attempt, answer, settled: false }
    }

    /// The outcome, or what is certain at the deadline.
    pub(super) async fn outcome(mut self, deadline: Instant) -> Result<Receipt, SendError> {
        let in_time = timeout_at(deadline, &mut self.answer).await;
        self.settled = true;
        let outcome = match in_time {
            Ok(answer) => answer.ok(),
            Err(_) => match self.session.give_up(self.attempt) {
                Some(error) => return Err(error),
                // It came in this very moment.
                None => self.answer.try_recv().ok(),
            },
        };
        match outcome {
            Some(Outcome::Accepted(receipt)) => Ok(receipt),
            Some(Outcome::Failed(error)) => Err(error),
            // The session always sends what it knows; should it not, nothing is certain.
            None => Err(SendError::new(
                Failure::InDoubt(Doubt::Strong),
                "the agent's session ended without a word",
            )
            .caused_by(Cause::Agent)),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.settled {
            self.session.abandon(self.attempt);
        }
    }
}
