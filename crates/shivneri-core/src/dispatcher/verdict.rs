//! What came of dispatching one delivery.

use std::time::SystemTime;

use crate::{AttemptId, ProviderId, Receipt};

/// What came of it. All of it is committed to the log, but for [`Deferral::Held`].
///
/// Not `#[non_exhaustive]`: who adds a variant must visit every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A provider took it.
    Accepted {
        /// The attempt.
        attempt: AttemptId,
        /// The provider.
        provider: ProviderId,
        /// What it gave back.
        receipt: Receipt,
    },
    /// It is refused for good.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It was perhaps sent.
    InDoubt {
        /// Until when evidence is awaited; `None` where that is its end.
        until: Option<SystemTime>,
    },
    /// It was certainly not sent, and waits.
    Deferred(Deferral),
}

/// Why and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// Nobody could be asked: no attempt was made and nothing was committed. It is to be
    /// dispatched again when the registry changes.
    Held {
        /// Why each provider could not be asked.
        reason: String,
        /// Whether a provider could take it as soon as one of its places is free.
        busy: bool,
    },
    /// All that could be asked failed; it is due again later.
    Retry {
        /// When.
        at: SystemTime,
        /// Why.
        reason: String,
    },
}
