//! What a sandbox took, and the handle to it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use shivneri_core::{Attempt, AttemptId, Email, MessageId, Receipt, SendError};

use super::Fault;

/// Emails kept at most; older ones make room.
const MAX_EMAILS: usize = 10_000;
/// Bytes that the kept emails may have together.
const MAX_BYTES: u64 = 256 << 20;

/// An email that a sandbox took.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The message it belongs to.
    pub message_id: MessageId,
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// The id that the sandbox gave it.
    pub provider_message_id: String,
    /// When it was taken.
    pub received_at: SystemTime,
    /// The email, its envelope as it came.
    pub email: Email,
}

/// How the sends of a sandbox ended, since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Sends that ended in whatever way.
    pub sends: u64,
    /// Emails that were taken, also those that left the mailbox since.
    pub taken: u64,
    /// Sends that ended with an acceptance.
    pub accepted: u64,
}

/// A handle to a sandbox's mailbox and its behaviour. Clones are handles to the same one; `Debug`
/// tells how many emails it holds, and shows none.
#[derive(Clone)]
pub struct Mailbox {
    state: Arc<Mutex<State>>,
}

struct State {
    latency: Duration,
    fault: Fault,
    taken: VecDeque<Taken>,
    bytes: u64,
    counts: Counts,
}

impl Mailbox {
    pub(super) fn new(latency: Duration, fault: Fault) -> Self {
        let (taken, counts) = (VecDeque::new(), Counts::default());
        let state = State { latency, fault, taken, bytes: 0, counts };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What it took, newest first, at most `limit`. The newest 10,000 are kept, and of large ones
    /// as many as have 256 MiB together.
    pub fn list(&self, limit: usize) -> Vec<Taken> {
        self.lock().taken.iter().rev().take(limit).cloned().collect()
    }

    /// How many emails are kept.
    pub fn len(&self) -> usize {
        self.lock().taken.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How sends ended so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The present fault.
    pub fn fault(&self) -> Fault {
        self.lock().fault
    }

    /// Sends that begin from now on go wrong like this.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// Sends that begin from now on take so long.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    pub(super) fn behaviour(&self) -> (Duration, Fault) {
        let state = self.lock();
        (state.latency, state.fault)
    }

    pub(super) fn record(
        &self,
        taken: Option<(&Email, &Attempt, String)>,
        outcome: &Result<Receipt, SendError>,
    ) {
        let taken = taken.map(|(email, attempt, provider_message_id)| Taken {
            message_id: email.id(),
            attempt: attempt.id,
            provider_message_id,
            received_at: SystemTime::now(),
            email: email.clone(),
        });
        let mut state = self.lock();
        state.counts.sends += 1;
        state.counts.accepted += u64::from(outcome.is_ok());
        let Some(taken) = taken else { return };
        state.counts.taken += 1;
        state.bytes += taken.email.size();
        state.taken.push_back(taken);
        while state.taken.len() > MAX_EMAILS || (state.bytes > MAX_BYTES && state.taken.len() > 1) {
            if let Some(oldest) = state.taken.pop_front() {
                state.bytes -= oldest.email.size();
            }
        }
    }

    /// Nothing panics while the lock is held, so a poisoned one holds a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Mailbox")
            .field("latency", &state.latency)
            .field("fault", &state.fault)
            .field("emails", &state.taken.len())
            .field("bytes", &state.bytes)
            .field("counts", &state.counts)
            .finish()
    }
}
