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
    /// Perhaps sent; evidence is awaited, and asked for meanwhile.
    Ask {
        /// When a provider is asked.
        at: SystemTime,
        /// When [`after_doubt`] is asked.
        until: SystemTime,
    },
    /// Perhaps sent; evidence is awaited, and nobody can be asked for it.
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
    if delivery.was_perhaps_sent() {
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

/// How long the last look-up of a wait may be late before it is made out of its turn.
pub const LAST_LOOK_UP: Duration = Duration::from_secs(20);

/// The end of a delivery that needs no provider any more: its time has run out, or its doubt has
/// run its course. `None` where it may still be sent, or a provider is still to be asked.
pub fn overdue(delivery: &Delivery, now: SystemTime) -> Option<Transition> {
    if delivery.deadline <= now {
        return Some(expiry(delivery));
    }
    let asking = delivery.awaiting.is_some_and(|awaiting| now < awaiting.until + LAST_LOOK_UP);
    if asking { None } else { after_doubt(delivery) }
}

/// The end of a delivery whose time has run out.
pub fn expiry(delivery: &Delivery) -> Transition {
    if delivery.was_perhaps_sent() {
        Transition::InDoubt { reason: "its time ran out while an attempt was in doubt".into() }
    } else {
        Transition::Expired
    }
}

/// When a delivery that found no taker is due again: by the retry schedule, and no earlier than
/// after the pause a provider asked for. A pause alone, without a failure that counts, is obeyed
/// to the letter. The schedule takes half of the time that is left at most.
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
        (_, pause) => scheduled(delivery, now, draw).max(pause.unwrap_or_default()),
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
        Doubt::Weak => wait.max(scheduled(delivery, now, draw)),
    };
    (now + wait).min(delivery.deadline.max(now))
}

fn scheduled(delivery: &Delivery, now: SystemTime, draw: u64) -> Duration {
    let left = delivery.deadline.duration_since(now).unwrap_or_default();
    retry::delay_within(left, delivery.failures().saturating_sub(1), draw)
}

/// What the providers in doubt can do to settle it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// One can be asked whether an attempt went out.
    pub look_up: bool,
    /// One takes idempotency keys: the same request again sends nothing twice, and tells.
    pub repeat: bool,
}

/// The shares of the wait at which providers are asked whether an attempt went out.
const MARKS: [f64; 3] = [0.25, 0.5, 1.0];
/// How near to a mark counts as at it.
const NEAR: f64 = 0.05;

/// When evidence is asked for next, for a doubt that began at `since` and is awaited `until`: by
/// look-up at ¼, ½ and the end of that time, by the same request again after 1, 2, 4, … s, each
/// between a half and the whole of it. `None` where nobody can tell any more.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use shivneri_core::decision::{Means, next_ask};
///
/// let (since, seconds) = (SystemTime::UNIX_EPOCH, Duration::from_secs);
/// let means = Means { look_up: true, repeat: false };
/// let next = |now| next_ask(means, since, since + seconds(60), 0, since + seconds(now), 0);
/// assert_eq!(next(0), Some(since + seconds(15)));
/// assert_eq!(next(16), Some(since + seconds(30)));
/// assert_eq!(next(30), Some(since + seconds(60)));
/// assert_eq!(next(60), None);
/// ```
pub fn next_ask(
    means: Means,
    since: SystemTime,
    until: SystemTime,
    repeated: u32,
    now: SystemTime,
    draw: u64,
) -> Option<SystemTime> {
    let wait = until.duration_since(since).unwrap_or_default();
    let gone = share(since, until, now);
    let mark = MARKS.iter().find(|mark| **mark > gone + NEAR);
    // However near the end is: what is found there decides.
    let mark = mark.or((now < until).then_some(&1.0));
    let look_up = mark.filter(|_| means.look_up).map(|mark| since + wait.mul_f64(*mark));
    let pause = Duration::from_secs(1 << repeated.min(12));
    let repeat = now + pause / 2 + retry::fraction_of(pause / 2, draw);
    let repeat = Some(repeat).filter(|at| means.repeat && *at < until);
    [look_up, repeat].into_iter().flatten().min()
}

/// Whether a provider is to be asked, in a wait for evidence that was to be looked at by `ask`.
pub fn is_look_up_due(since: SystemTime, until: SystemTime, ask: SystemTime) -> bool {
    let gone = share(since, until, ask);
    MARKS.iter().any(|mark| (gone - mark).abs() <= NEAR)
}

/// How much of the time from `since` to `until` is over at `now`.
fn share(since: SystemTime, until: SystemTime, now: SystemTime) -> f64 {
    let wait = until.duration_since(since).unwrap_or_default();
    if wait.is_zero() {
        return 1.0;
    }
    now.duration_since(since).unwrap_or_default().div_duration_f64(wait).min(1.0)
}

/// The wait for evidence about an attempt whose provider can't be asked now whether it could tell:
/// it is asked at the first mark.
pub fn ask_later(wait: Duration, now: SystemTime) -> Transition {
    Transition::Ask { at: now + wait.mul_f64(MARKS[0]), until: now + wait }
}
