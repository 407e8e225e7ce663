//! Messages, attempts and outcomes for the claims.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{
    AgentSession, Attempt, AttemptId, Delivery, Doubt, Failure, MessageId, Outcome, Receipt, Scope,
    SendError, Transition,
    draft::{Checked, Draft},
    submit::Door,
};
use uuid::Uuid;

use crate::{Acceptance, Idempotency, Incoming, MessageRecord, Spool, Status};

/// The present time in whole seconds, which every spool can keep.
pub fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Seconds.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A draft to these recipients.
pub fn draft(to: &[&str]) -> Draft {
    Draft {
        from: Some("Asha <asha@example.com>".into()),
        to: to.iter().map(|one| (*one).into()).collect(),
        subject: "Your invoice".into(),
        text: Some("It is attached.".into()),
        ..Draft::default()
    }
}

/// A checked message with a new id.
///
/// # Panics
///
/// Where the draft is not valid.
pub fn checked(draft: &Draft, at: SystemTime) -> Checked {
    draft.check(MessageId::new(), at).expect("the fixture's draft is valid")
}

/// A message at the door, without a key.
pub fn incoming(draft: &Draft, at: SystemTime) -> Incoming {
    Incoming {
        message: checked(draft, at),
        door: Door::Http,
        owner: "anonymous".into(),
        idempotency: None,
        at,
    }
}

/// A message at the door with this key, its fingerprint all of one octet.
pub fn keyed(draft: &Draft, at: SystemTime, key: &str, fingerprint: u8) -> Incoming {
    let idempotency = Idempotency { key: key.to_owned(), fingerprint: [fingerprint; 32] };
    Incoming { idempotency: Some(idempotency), ..incoming(draft, at) }
}

/// Accepts a new message.
///
/// # Panics
///
/// Where it is not accepted as new.
pub async fn accept(spool: &Arc<dyn Spool>, draft: &Draft, at: SystemTime) -> MessageId {
    match spool.accept(incoming(draft, at)).await {
        Ok(Acceptance::New { id, .. }) => id,
        other => panic!("not accepted as new: {other:?}"),
    }
}

/// Accepts a message and leases its delivery.
///
/// # Panics
///
/// Where something else is leased, or nothing.
pub async fn accept_and_lease(spool: &Arc<dyn Spool>, draft: &Draft, at: SystemTime) -> Delivery {
    let id = accept(spool, draft, at).await;
    let delivery = lease_one(spool, at).await;
    assert_eq!(delivery.message(), id);
    delivery
}

/// Leases the one delivery that is due.
///
/// # Panics
///
/// Where there is not exactly one.
pub async fn lease_one(spool: &Arc<dyn Spool>, at: SystemTime) -> Delivery {
    let mut leased = spool.lease(10, at).await.expect("the spool can be read");
    assert_eq!(leased.len(), 1, "exactly one delivery is due");
    leased.remove(0)
}

/// The next attempt of a delivery at this provider.
///
/// # Panics
///
/// Where the name is none.
pub fn attempt(delivery: &Delivery, provider: &str) -> Attempt {
    Attempt {
        id: AttemptId::new(),
        delivery: delivery.id,
        message: delivery.message(),
        number: delivery.next_number(),
        provider: provider.parse().expect("the fixture's names are valid"),
        request: delivery.next_number(),
        session: None,
        epoch: delivery.epoch,
        reason: "the only one".into(),
        on_doubt: delivery.on_doubt,
        possible_duplicate: delivery.was_perhaps_sent(),
        repetition: false,
        key_until: None,
        started_at: now(),
        timeout: Attempt::DEFAULT_TIMEOUT,
    }
}

/// The same through an agent.
///
/// # Panics
///
/// Where a name is none.
pub fn agent_attempt(delivery: &Delivery, provider: &str, agent: &str) -> Attempt {
    let session = AgentSession {
        agent: agent.parse().expect("the fixture's names are valid"),
        generation: 3,
        journal: Uuid::from_u128(7),
    };
    Attempt { session: Some(session), ..attempt(delivery, provider) }
}

/// Begins and ends one attempt.
///
/// # Panics
///
/// Where either is refused.
pub async fn try_once(
    spool: &Arc<dyn Spool>,
    delivery: &Delivery,
    outcome: &Outcome,
    transition: &Transition,
) -> Attempt {
    let attempt = attempt(delivery, "alpha");
    spool.begin(&attempt).await.expect("the attempt is recorded");
    spool.end(&attempt, outcome, transition).await.expect("the attempt is closed");
    attempt
}

/// The record of a message that is there.
///
/// # Panics
///
/// Where it is not.
pub async fn record(spool: &Arc<dyn Spool>, id: MessageId) -> MessageRecord {
    spool.get(id).await.expect("the spool can be read").expect("the message is there")
}

/// The status of a message that is there.
pub async fn status(spool: &Arc<dyn Spool>, id: MessageId) -> Status {
    record(spool, id).await.status()
}

/// Asserts that every accepted message is somewhere.
///
/// # Panics
///
/// Where one is not.
pub async fn assert_whole(spool: &Arc<dyn Spool>) {
    let audit = spool.audit().await.expect("the spool can be read");
    assert_eq!(audit.gap(), 0, "{audit:?}");
}

/// A provider took it.
pub fn accepted() -> Outcome {
    Outcome::Accepted(Receipt::new("provider-id-1"))
}

/// Certainly not sent.
pub fn unavailable() -> Outcome {
    Outcome::Failed(SendError::new(Failure::Unavailable, "connection refused"))
}

/// The provider asks to be left alone for this long.
pub fn throttled(pause: Duration) -> Outcome {
    let failure = Failure::Throttled { retry_after: Some(pause) };
    Outcome::Failed(SendError::new(failure, "slow down"))
}

/// Perhaps sent.
pub fn doubtful() -> Outcome {
    Outcome::Failed(SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came"))
}

/// The agent vouches that it did not start.
pub fn not_started() -> Outcome {
    Outcome::Failed(SendError::not_started("the offer had expired"))
}

/// Bad content.
pub fn rejected() -> Outcome {
    Outcome::Failed(SendError::new(Failure::Rejected(Scope::Message), "bad content"))
}

/// These recipients are bad, and nobody was taken.
///
/// # Panics
///
/// Where one is no address.
pub fn bad_recipients(bad: &[&str]) -> Outcome {
    let bad = bad.iter().map(|one| one.parse().expect("the fixture's addresses are valid"));
    let failure = Failure::Rejected(Scope::Recipients(bad.collect()));
    Outcome::Failed(SendError::new(failure, "no such mailbox"))
}

/// Due again at this time.
pub fn retry(at: SystemTime) -> Transition {
    Transition::Retry { at, reason: "no provider took it".into() }
}
