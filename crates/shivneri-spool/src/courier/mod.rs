//! The courier: carries what is due from the spool to the dispatcher, and gives back what finds
//! nobody.
//!
//! Retrying *now, at another provider* is the dispatcher's; *later* is the courier's. It leases no
//! more than the providers have places for, so that a full queue costs nothing while they are
//! busy or gone, and each mail goes to whoever is free when its turn comes.

mod carry;
mod late;
mod pace;
mod run;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

pub use late::Sighted;
use shivneri_core::{AttemptLog, Dispatcher};

use crate::{Clock, Spool};

/// How the courier works.
#[derive(Clone, Debug)]
pub struct CourierPolicy {
    /// Deliveries under way at once at most, whatever the providers' windows.
    pub max_in_flight: usize,
    /// How long mail that nobody could take is held before it is tried again without any news of
    /// the providers.
    pub hold: Duration,
    /// Deliveries a second at most that are looked at and held again.
    pub held_per_second: u32,
    /// How often mail is looked for whose time is over.
    pub overdue: Duration,
    /// How long running attempts are awaited at the end.
    pub drain: Duration,
    /// Where the time is read.
    pub clock: Clock,
}

impl Default for CourierPolicy {
    /// 1,024 in flight, held for 2 s and 1,000 a second, overdue mail every 10 s, 30 s to drain.
    fn default() -> Self {
        Self {
            max_in_flight: 1024,
            hold: Duration::from_secs(2),
            held_per_second: 1000,
            overdue: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            clock: Clock::default(),
        }
    }
}

/// What the courier is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CourierState {
    /// [`Courier::run`] was not called yet.
    Idle,
    /// It carries mail.
    Running,
    /// It leases no more; what is under way is awaited.
    Draining,
    /// The spool can't commit any more, so nothing is sent any more.
    Stopped {
        /// What failed.
        reason: String,
    },
    /// It has ended.
    Ended,
}

/// What was under way at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Deliveries that were still with a provider when the time to drain was over. Their attempts
    /// are open in the log, and in doubt for the next owner.
    pub left: usize,
}

/// Carries mail from the spool to the dispatcher.
#[derive(Debug)]
pub struct Courier {
    spool: Arc<dyn Spool>,
    log: Arc<dyn AttemptLog>,
    dispatcher: Arc<Dispatcher>,
    policy: CourierPolicy,
    state: Mutex<CourierState>,
    in_flight: AtomicUsize,
}

impl Courier {
    /// A courier between these. `log` is where attempts are committed: the spool itself, or what
    /// wraps it.
    pub fn new(
        spool: Arc<dyn Spool>,
        log: Arc<dyn AttemptLog>,
        dispatcher: Arc<Dispatcher>,
        policy: CourierPolicy,
    ) -> Self {
        let state = Mutex::new(CourierState::Idle);
        Self { spool, log, dispatcher, policy, state, in_flight: AtomicUsize::new(0) }
    }

    /// What it is doing.
    pub fn state(&self) -> CourierState {
        self.lock_state().clone()
    }

    /// Deliveries it has leased and not yet settled or given back.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn lock_state(&self) -> MutexGuard<'_, CourierState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on, but never back from having stopped.
    fn enter(&self, next: CourierState) {
        let mut state = self.lock_state();
        match &*state {
            CourierState::Stopped { .. } => {}
            CourierState::Idle
            | CourierState::Running
            | CourierState::Draining
            | CourierState::Ended => *state = next,
        }
    }

    fn is_stopped(&self) -> bool {
        matches!(*self.lock_state(), CourierState::Stopped { .. })
    }

    /// Leases nothing any more, because nothing can be committed any more.
    fn stop(&self, reason: &str) {
        if !self.is_stopped() {
            tracing::error!(reason, "the courier sends no more mail");
            self.enter(CourierState::Stopped { reason: reason.to_owned() });
        }
    }
}
