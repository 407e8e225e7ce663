//! What follows from an outcome: one pure table, asked by the dispatcher and by whoever settles
//! late reports.

use std::time::{Duration, SystemTime};

use crate::{
    Delivery, Doubt, Failure, OnDoubt, Receipt, Scope, SendError, delivery::PastEnd, retry,
};

/// How one attempt ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The provider took it.
    Accepted(Receipt),
    /// It did not, or nobody knows.
    Failed(SendError),
}

impl Outcome {
    /// The outcome's word in the API and in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Failed(error) => error.word(),
        }
    }

    /// The error of a failed one.
    pub fn error(&self) -> Option<&SendError> {
        match self {
            Self::Accepted(_) => None,
            Self::Failed(error) => Some(error),
        }
    }

    /// What a later decision has to remember of it; `None` for an acceptance.
    pub fn past_end(&self) -> Option<PastEnd> {
        let error = self.error()?;
        Some(match error.failure() {
            Failure::Rejected(Scope::Recipients(_)) => PastEnd::Recipients,
            Failure::Rejected(Scope::Message | Scope::Unexplained) => PastEnd::Unexplained,
            Failure::Unavailable if error.counts() => PastEnd::Unavailable,
            Failure::Unavailable
            | Failure::Unsupported
            | Failure::AccountFault(_)
            | Failure::Throttled { .. } => PastEnd::Uncounted,
            Failure::InDoubt(doubt) => PastEnd::InDoubt(*doubt),
        })
    }
}

impl From<Result<Receipt, SendError>> for Outcome {
    fn from(result: Result<Receipt, SendError>) -> Self {
        match result {
            Ok(receipt) => Self::Accepted(receipt),
            Err(error) => Self::Failed(error),
        }
    }
}

/// How a delivery moves, committed together with the attempt that caused it.
///
/// Recipients that the outcome names as refused become final with it, those it names as deferred
/// become a delivery of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Another provider is asked at once; the delivery stays leased.
    Continue,
    /// A provider took it: final.
    Accepted,
    /// Refused for what it is: final.
    Rejected {
        /// Why, for people.
        reason: String,
    },
    /// Certainly not sent; due again later.
    Retry {
        /// When.
        at: SystemTime,
        /// Why it waits, for people.
        reason: String,
    },
    /// Perhaps sent; evidence is awaited.
    Doubt {
        /// When [`after_doubt`] is asked.
        until: SystemTime,
    },
    /// Perhaps sent, and nothing more is tried: final, but later evidence may still move it to
    /// accepted.
    InDoubt {
        /// Why nothing more is tried.
        reason: String,
    },
    /// Its time ran out unsent: final.
    Expired,
}

/// What an outcome asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is done.
    Done(Transition),
    /// Another provider at once; without one, a retry no earlier than after `pause`.
    Failover {
        /// The pause the provider asked for.
        pause: Option<Duration>,
    },
}

/// What follows from `outcome`, given what happened to this delivery before.
///
/// `alternatives` tells whether any other known provider could carry it at all: a lone provider's
/// second unexplained rejection is final, since no other can agree or object.
/// `finality_suspended` is set while a provider rejects far more than it and its peers used to:
/// then unexplained rejections decide nothing.
pub fn step(
    delivery: &Delivery,
    outcome: &Outcome,
    provider: &crate::ProviderId,
    now: SystemTime,
    alternatives: bool,
    finality_suspended: bool,
) -> Step {
    let error = match outcome {
        Outcome::Accepted(_) => return Step::Done(Transition::Accepted),
        Outcome::Failed(error) => error,
    };
    let failover = Step::Failover { pause: None };
    match error.failure() {
        Failure::Rejected(Scope::Message) => Step::Done(rejected(delivery, error.detail())),
        Failure::Rejected(Scope::Unexplained) => {
            let agrees = delivery.history.iter().any(|past| {
                past.end == PastEnd::Unexplained && (past.provider != *provider || !alternatives)
            });
            if agrees && !finality_suspended {
                Step::Done(rejected(delivery, error.detail()))
            } else {
                failover
            }
        }
        Failure::Rejected(Scope::Recipients(refused)) => match delivery.email.without(refused) {
            Ok(_) => failover,
            Err(_) => Step::Done(rejected(delivery, error.detail())),
        },
        Failure::Throttled { retry_after } => Step::Failover { pause: *retry_after },
        Failure::Unsupported | Failure::AccountFault(_) | Failure::Unavailable => failover,
        Failure::InDoubt(_) => Step::Done(Transition::Doubt { until: now + delivery.doubt_wait() }),
    }
}

/// While a doubtful attempt is unresolved, a rejection must not hide that mail perhaps went out.
fn rejected(delivery: &Delivery, reason: &str) -> Transition {
    if delivery.is_in_doubt() {
        Transition::InDoubt { reason: format!("an earlier attempt is in doubt; then: {reason}") }
    } else {
        Transition::Rejected { reason: reason.to_owned() }
    }
}

/// What follows once the wait after a doubtful attempt is over: `None` where it may be sent
/// again, marked as a possible duplicate.
///
/// `hold` never is. After strong doubt at most two more attempts are made.
pub fn after_doubt(delivery: &Delivery) -> Option<Transition> {
    if !delivery.is_in_doubt() {
        return None;
    }
    if delivery.on_doubt == OnDoubt::Hold {
        return Some(Transition::InDoubt { reason: "on_doubt is hold".into() });
    }
    (delivery.resends_after_strong_doubt() >= 2)
        .then(|| Transition::InDoubt { reason: "sent again twice, and still in doubt".into() })
}

/// The end of a delivery whose time has run out.
pub fn expiry(delivery: &Delivery) -> Transition {
    if delivery.is_in_doubt() {
        Transition::InDoubt { reason: "its time ran out while an attempt was in doubt".into() }
    } else {
        Transition::Expired
    }
}

/// When a delivery that found no taker is due again: by the retry schedule, and no earlier than
/// after the pause a provider asked for. A pause alone, without a failure that counts, is obeyed
/// to the letter.
///
/// The delivery's history holds the attempts that were just made.
pub fn retry_at(
    delivery: &Delivery,
    pause: Option<Duration>,
    now: SystemTime,
    draw: u64,
) -> SystemTime {
    let delay = match (delivery.failures(), pause) {
        (0, Some(pause)) => pause.max(retry::SHORTEST),
        (failures, pause) => {
            retry::delay(failures.saturating_sub(1), draw).max(pause.unwrap_or_default())
        }
    };
    (now + delay).min(delivery.deadline.max(now))
}

/// When a doubtful attempt's delivery is looked at again: after `doubt_wait`, and after weak doubt
/// no earlier than the retry schedule says.
///
/// The delivery's history holds the attempt in doubt.
pub fn doubt_until(delivery: &Delivery, doubt: Doubt, now: SystemTime, draw: u64) -> SystemTime {
    let wait = delivery.doubt_wait();
    let wait = match doubt {
        Doubt::Strong => wait,
        Doubt::Weak => wait.max(retry::delay(delivery.failures().saturating_sub(1), draw)),
    };
    (now + wait).min(delivery.deadline.max(now))
}
