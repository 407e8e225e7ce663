//! Carrying one delivery.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use shivneri_core::{
    Attempt, AttemptId, AttemptLog, Deferral, Delivery, DeliveryId, Dispatcher, Doubt, Failure,
    LogError, Outcome, SendError, Transition, Verdict, decision,
};

use super::Courier;
use crate::{Park, SpoolState};

/// How carrying one delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// Something was committed for it, or it was no longer there to be carried.
    Settled,
    /// Nobody could be asked; it was given back.
    Held,
}

/// Nobody could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    reason: String,
    /// Only for want of a free place.
    busy: bool,
}

/// How long mail is held that only wants a free place. One that becomes free is given to whatever
/// is due at that time.
const BUSY: Duration = Duration::from_millis(50);

/// Leased deliveries that have not got a provider's place yet: they are still to take one of
/// those that are free.
#[derive(Clone, Debug, Default)]
pub(super) struct Undecided(Arc<AtomicUsize>);

impl Undecided {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn one(&self) -> Deciding {
        self.0.fetch_add(1, Ordering::Relaxed);
        Deciding { undecided: self.clone(), done: AtomicBool::new(false) }
    }
}

/// One of them, until it has a place or none.
#[derive(Debug)]
pub(super) struct Deciding {
    undecided: Undecided,
    done: AtomicBool,
}

impl Deciding {
    fn decide(&self) {
        if !self.done.swap(true, Ordering::Relaxed) {
            self.undecided.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        self.decide();
    }
}

/// The log as one dispatch sees it: it knows which attempt is open, so that a provider that
/// panics leaves a doubt and no attempt that is open for ever.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    log: Arc<dyn AttemptLog>,
    open: Arc<Mutex<Option<Attempt>>>,
    deciding: Arc<Deciding>,
}

impl Watched {
    pub(super) fn new(log: Arc<dyn AttemptLog>, deciding: Deciding) -> Self {
        Self { log, open: Arc::default(), deciding: Arc::new(deciding) }
    }

    fn note(&self, attempt: Option<Attempt>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = attempt;
    }

    fn open(&self) -> Option<Attempt> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl AttemptLog for Watched {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.deciding.decide();
        self.log.begin(attempt).await?;
        self.note(Some(attempt.clone()));
        Ok(())
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.log.end(attempt, outcome, transition).await?;
        self.note(None);
        Ok(())
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.log.settle(delivery, transition).await
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.log.clear_up(attempt, outcome, transition).await
    }
}

/// Takes one leased delivery as far as it goes now.
pub(super) async fn carry(
    dispatcher: Arc<Dispatcher>,
    delivery: Arc<Delivery>,
    log: Watched,
    now: SystemTime,
) -> Result<Option<Hold>, LogError> {
    if delivery.awaiting.is_some() {
        // It takes a place only where the same request goes out again.
        log.deciding.decide();
    }
    // What is in doubt is looked up once more before it is too old.
    let asks = delivery.awaiting.is_some() && delivery.is_in_doubt();
    if delivery.deadline <= now && !asks {
        log.settle(delivery.id, &decision::expiry(&delivery)).await?;
        return Ok(None);
    }
    Ok(match dispatcher.dispatch(&delivery, &log).await? {
        Verdict::Deferred(Deferral::Held { reason, busy }) => Some(Hold { reason, busy }),
        Verdict::Deferred(Deferral::Retry { .. })
        | Verdict::Accepted { .. }
        | Verdict::Rejected { .. }
        | Verdict::InDoubt { .. } => None,
    })
}

impl Courier {
    /// Decides what follows from how [`carry`] ended.
    pub(super) fn finish(
        &self,
        delivery: &Delivery,
        ended: Result<Option<Hold>, LogError>,
    ) -> Carried {
        match ended {
            Ok(None) => Carried::Settled,
            Ok(Some(Hold { reason, busy })) => {
                let hold = if busy { BUSY } else { self.policy.hold };
                self.give_back(delivery, hold, reason);
                Carried::Held
            }
            Err(error) => {
                match self.spool.health().state {
                    SpoolState::Open => {
                        // It was cancelled or moved by late evidence, or a log above the spool
                        // failed; where it is still leased it is due again.
                        tracing::debug!(delivery = %delivery.id, %error, "a delivery was given up");
                        self.give_back(delivery, self.policy.hold, error.to_string());
                    }
                    SpoolState::Poisoned { .. } | SpoolState::Closed => {
                        self.stop(&error.to_string());
                    }
                }
                Carried::Settled
            }
        }
    }

    fn give_back(&self, delivery: &Delivery, hold: Duration, reason: String) {
        let until = self.policy.clock.now() + hold;
        self.spool.release(delivery.id, Park { until, reason });
    }

    /// A provider's code panicked: its attempt is in doubt, as any whose answer is lost.
    pub(super) async fn after_panic(&self, delivery: &Delivery, log: &Watched) {
        tracing::error!(delivery = %delivery.id, "a provider's code panicked");
        let Some(attempt) = log.open() else {
            let reason = "the provider's code panicked".to_owned();
            self.give_back(delivery, self.policy.hold, reason);
            return;
        };
        let failure = Failure::InDoubt(Doubt::Strong);
        let outcome = Outcome::Failed(SendError::new(failure, "the provider's code panicked"));
        let wait = decision::ask_later(delivery.doubt_wait(), self.policy.clock.now());
        let ended = self.log.end(&attempt, &outcome, &wait).await;
        self.finish(delivery, ended.map(|()| None));
    }
}
