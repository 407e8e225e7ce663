//! An attempt, and the log that records it before it is offered.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use uuid::Uuid;

use crate::{AgentId, AttemptId, DeliveryId, MessageId, OnDoubt, Outcome, ProviderId, Transition};

/// The agent's session that an attempt is offered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSession {
    /// The agent.
    pub agent: AgentId,
    /// Issued by the server, higher for each session of this agent.
    pub generation: u64,
    /// The agent's journal; another one proves nothing about this attempt.
    pub journal: Uuid,
}

/// One call of a provider for one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The delivery it is for.
    pub delivery: DeliveryId,
    /// The message it is for.
    pub message: MessageId,
    /// Counts from 1 within the delivery.
    pub number: u32,
    /// The account it goes through.
    pub provider: ProviderId,
    /// The number of the attempt that first made this request at this account; its own where the
    /// request is a new one.
    pub request: u32,
    /// The agent's session it is offered to; none where the provider lives in this process.
    pub session: Option<AgentSession>,
    /// The owner's epoch; an older one may no longer commit.
    pub epoch: u64,
    /// Why this provider was taken, and why others were passed over.
    pub reason: String,
    /// What follows if it ends in doubt.
    pub on_doubt: OnDoubt,
    /// Whether an earlier attempt is in doubt, so that this one may double it.
    pub possible_duplicate: bool,
    /// Whether it makes an earlier request again only to learn what became of it, by its key. It sends
    /// nothing a second time, and is marked as what it repeats is.
    pub repetition: bool,
    /// Until when the provider knows this request by its key, so that the same one again sends
    /// nothing twice; none where it was begun without a key that the provider takes. Who makes a
    /// request again takes over its key's time as well: no key lives longer by that.
    pub key_until: Option<SystemTime>,
    /// When it was begun.
    pub started_at: SystemTime,
    /// How long the provider may take to answer.
    pub timeout: Duration,
}

impl Attempt {
    /// How long an answer is awaited where nothing else is set: giving up earlier makes doubt.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

    /// The idempotency key for providers that take one: the same for every attempt that makes the
    /// same request at one account, and another for each new request.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{}", self.delivery, self.provider, self.request)
    }

    /// Whether it is one more mail that may double an earlier one: marked, and no repetition.
    pub fn may_double(&self) -> bool {
        self.possible_duplicate && !self.repetition
    }

    /// Whether both make one request of the same account.
    pub fn is_same_request(&self, other: &Self) -> bool {
        (self.delivery, self.request, &self.provider)
            == (other.delivery, other.request, &other.provider)
    }

    /// A first attempt for an email outside any queue, as tests and probes make.
    pub fn single(email: &crate::Email, provider: ProviderId) -> Self {
        Self {
            id: AttemptId::new(),
            delivery: DeliveryId::from_uuid(*email.id().as_uuid()),
            message: email.id(),
            number: 1,
            provider,
            request: 1,
            session: None,
            epoch: 0,
            reason: String::new(),
            on_doubt: OnDoubt::default(),
            possible_duplicate: false,
            repetition: false,
            key_until: None,
            started_at: email.date(),
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }
}

/// The log could not commit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the attempt log could not commit: {reason}")]
pub struct LogError {
    reason: String,
}

impl LogError {
    /// With the reason in words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Where each attempt is recorded before it is offered, and closed after. A queue implements it;
/// who has none passes `&()`.
///
/// # Contract
///
/// * [`begin`](Self::begin) returns only once the record would survive a crash.
/// * [`end`](Self::end) closes the attempt and moves the delivery in **one** commit.
/// * All refuse an attempt of an older epoch.
#[async_trait]
pub trait AttemptLog: fmt::Debug + Send + Sync + 'static {
    /// Records that the attempt is about to be offered.
    ///
    /// # Errors
    ///
    /// [`LogError`] where it was not committed; the attempt must then not be made.
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError>;

    /// Closes the attempt and moves its delivery, together.
    ///
    /// # Errors
    ///
    /// [`LogError`] where it was not committed; the attempt then stays open.
    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError>;

    /// Moves a delivery that no attempt was made for: it expired, no provider could ever carry
    /// it, or its doubt has run its course.
    ///
    /// # Errors
    ///
    /// [`LogError`] where it was not committed; the delivery then stays as it was.
    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError>;

    /// Takes evidence about an earlier attempt that ended in doubt, and moves its delivery,
    /// together.
    ///
    /// # Errors
    ///
    /// [`LogError`] where it was not committed; the doubt then stays.
    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError>;
}

#[async_trait]
impl AttemptLog for () {
    async fn begin(&self, _: &Attempt) -> Result<(), LogError> {
        Ok(())
    }

    async fn end(&self, _: &Attempt, _: &Outcome, _: &Transition) -> Result<(), LogError> {
        Ok(())
    }

    async fn settle(&self, _: DeliveryId, _: &Transition) -> Result<(), LogError> {
        Ok(())
    }

    async fn clear_up(&self, _: AttemptId, _: &Outcome, _: &Transition) -> Result<(), LogError> {
        Ok(())
    }
}

/// What became of attempts whose waiting future is gone: the server restarted, or the agent
/// came back after it had been given up. The courier implements it, a transport reports to it.
///
/// # Contract
///
/// * Both are idempotent by attempt id and return once the finding is committed.
/// * An attempt that is unknown, or already closed with a certain outcome, is left as it is.
#[async_trait]
pub trait LateOutcomes: fmt::Debug + Send + Sync + 'static {
    /// Takes an agent's report about an attempt nobody waits for any more.
    ///
    /// # Errors
    ///
    /// [`LogError`] where it was not committed; the agent must report again.
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError>;

    /// The attempts offered to this agent that are open or closed in doubt, so that its journal
    /// can settle them.
    ///
    /// # Errors
    ///
    /// [`LogError`] where they could not be read.
    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError>;
}

/// An attempt at an agent whose end is not known for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledAttempt {
    /// The attempt.
    pub id: AttemptId,
    /// The generation it was offered in.
    pub generation: u64,
    /// The journal it was offered to.
    pub journal: Uuid,
}
