//! The one way by which mail comes in: checked, made one where it came twice, made durable.

mod turns;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use shivneri_core::{
    MessageId, Submit, SubmitError, Submitted,
    draft::{Checked, Draft, FieldError},
    submit::Door,
};
use shivneri_spool::{Acceptance, Idempotency, Incoming, Spool, SpoolError};
use tokio::time::Instant;
use turns::Turns;

use crate::{Metrics, access};

/// Who sends what has no API key.
pub const ANONYMOUS: &str = "anonymous";

/// How long a request waits for an equal one that is still running.
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where a message comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The door.
    pub door: Door,
    /// Who sends it: an API key's name, or [`ANONYMOUS`].
    pub owner: String,
    /// The sender domains that the key may use; none: all.
    pub domains: Option<Arc<[String]>>,
    /// Makes it one message however often it is sent.
    pub idempotency: Option<Idempotency>,
}

/// A message was taken, now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: MessageId,
    /// Its status when it was accepted: `queued` or `scheduled`.
    pub status: &'static str,
    /// Whether an earlier request brought it, and this one added nothing.
    pub replayed: bool,
}

/// A message was not taken, and nothing was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Some fields are not valid.
    #[error("{} of the message's fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// The key may not send from this domain.
    #[error("the key may not send from {domain}")]
    Sender {
        /// The sender's domain.
        domain: String,
    },
    /// The idempotency key came with another request before.
    #[error("the idempotency key came with another request before")]
    KeyReused,
    /// A request with the same idempotency key has been running for [`LONGEST_WAIT`].
    #[error("a request with the same idempotency key is still running")]
    InProgress,
    /// The queue takes nothing now.
    #[error("mail can't be taken now: {reason}")]
    Unavailable {
        /// Why, for people.
        reason: String,
        /// Seconds after which another try makes sense.
        retry_after: u64,
    },
}

/// Takes messages into the spool.
#[derive(Debug)]
pub struct Submission {
    spool: Arc<dyn Spool>,
    metrics: Arc<Metrics>,
    turns: Turns,
}

impl Submission {
    /// Into this spool.
    pub fn new(spool: Arc<dyn Spool>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { spool, metrics, turns: Turns::default() })
    }

    /// Takes one message. Returns once it is durable.
    ///
    /// Requests of one owner with the same idempotency key go one after another, so that the
    /// later ones find what the first left. Dropping the future may leave a message that was
    /// accepted and not told; the same idempotency key finds it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing was kept then.
    pub async fn submit_from(&self, draft: Draft, origin: Origin) -> Result<Taken, Refusal> {
        let began = Instant::now();
        let Origin { door, owner, domains, idempotency } = origin;
        let at = SystemTime::now();
        let message = self.check(&draft, domains.as_deref(), at)?;
        drop(draft);
        let _turn = match &idempotency {
            Some(one) => Some(self.turns.take(&owner, &one.key, LONGEST_WAIT).await?),
            None => None,
        };
        let incoming = Incoming { message, door, owner, idempotency, at };
        match self.spool.accept(incoming).await.map_err(refusal)? {
            Acceptance::New { id, status } => {
                self.metrics.accepted(door, began.elapsed());
                tracing::debug!(message = %id, door = door.as_str(), "message accepted");
                Ok(Taken { id, status: status.as_str(), replayed: false })
            }
            Acceptance::Replayed { id, status } => {
                Ok(Taken { id, status: status.as_str(), replayed: true })
            }
            Acceptance::Conflict => Err(Refusal::KeyReused),
        }
    }

    fn check(
        &self,
        draft: &Draft,
        domains: Option<&[String]>,
        now: SystemTime,
    ) -> Result<Checked, Refusal> {
        let checked = draft.check(MessageId::new(), now);
        let unknown_lane = draft.lane.as_deref().and_then(|lane| self.unknown_lane(lane));
        let message = match (checked, unknown_lane) {
            (Ok(message), None) => message,
            (Ok(_), Some(error)) => return Err(Refusal::Invalid(vec![error])),
            (Err(mut errors), unknown_lane) => {
                let named = errors.iter().any(|error| error.field == "lane");
                errors.extend(unknown_lane.filter(|_| !named));
                return Err(Refusal::Invalid(errors));
            }
        };
        let domain = message.email.from().address().domain();
        let allowed = |list: &[String]| list.iter().any(|one| one.eq_ignore_ascii_case(domain));
        if domains.is_some_and(|list| !allowed(list)) {
            return Err(Refusal::Sender { domain: domain.to_owned() });
        }
        Ok(message)
    }

    fn unknown_lane(&self, name: &str) -> Option<FieldError> {
        let lanes = self.spool.lanes();
        if lanes.iter().any(|lane| lane.name.as_str() == name) {
            return None;
        }
        let known: Vec<_> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        let reason = format!("there is no such lane; there are {}", known.join(", "));
        Some(FieldError::new("lane", reason))
    }
}

/// What a spool's error means to who brings mail.
fn refusal(error: SpoolError) -> Refusal {
    let retry_after = match &error {
        SpoolError::UnknownLane(_) => {
            return Refusal::Invalid(vec![FieldError::new("lane", error)]);
        }
        SpoolError::Full { .. } => 30,
        SpoolError::Poisoned { .. } => 60,
        SpoolError::Closed
        | SpoolError::StaleEpoch { .. }
        | SpoolError::AttemptOpen(_)
        | SpoolError::UnknownDelivery(_)
        | SpoolError::UnknownAttempt(_)
        | SpoolError::BadCursor
        | SpoolError::Read { .. }
        | SpoolError::Write { .. } => 5,
    };
    tracing::warn!(%error, "mail was refused by the spool");
    Refusal::Unavailable { reason: error.to_string(), retry_after }
}

#[async_trait]
impl Submit for Submission {
    /// Takes one message. Within a request that passed an [`AccessLayer`](crate::AccessLayer) it
    /// belongs to that request's key.
    async fn submit(&self, draft: Draft, door: Door) -> Result<Submitted, SubmitError> {
        let caller = access::caller();
        let owner = caller.as_ref().map_or(ANONYMOUS, |caller| caller.name()).to_owned();
        let domains = caller.and_then(|caller| caller.domains().cloned());
        let origin = Origin { door, owner, domains, idempotency: None };
        match self.submit_from(draft, origin).await {
            Ok(Taken { id, status, replayed: _ }) => Ok(Submitted { id, status }),
            Err(Refusal::Invalid(errors)) => Err(SubmitError::Invalid(errors)),
            Err(refusal @ Refusal::Sender { .. }) => {
                Err(SubmitError::Invalid(vec![FieldError::new("from", refusal)]))
            }
            Err(Refusal::Unavailable { reason, retry_after }) => {
                Err(SubmitError::Unavailable { reason, retry_after })
            }
            Err(refusal @ (Refusal::KeyReused | Refusal::InProgress)) => {
                Err(SubmitError::Unavailable { reason: refusal.to_string(), retry_after: 1 })
            }
        }
    }
}
