//! The one trait of every durable queue.

use std::{path::Path, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use shivneri_core::{
    AgentId, Attempt, AttemptId, AttemptLog, Delivery, DeliveryId, EmailAddress, Lane, LogError,
    MessageId, Outcome, Transition, UnsettledAttempt,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    Acceptance, Audit, Event, Incoming, MessageRecord, Page, Retention, Search, Shelf, SpoolError,
    SpoolHealth, Stats, Status,
};

/// A durable queue of mail with one owner.
///
/// # Contract
///
/// * What has returned `Ok` would survive a crash; what has returned an error left nothing.
/// * [`begin`](AttemptLog::begin), [`end`](AttemptLog::end) and [`settle`](AttemptLog::settle)
///   are the same commits: an attempt's end, the delivery's transition, the message's status and
///   its [`Event`] are one.
/// * A delivery is leased to one caller at a time and has at most one open attempt. A lease lives
///   in memory only; it ends with a transition other than
///   [`Continue`](Transition::Continue), or with [`release`](Self::release).
/// * After a commit has failed, nothing is accepted, leased or committed any more.
/// * Calls may be dropped at any point. What was handed to the queue is then done all the same.
#[async_trait]
pub trait Spool: AttemptLog {
    /// The owner's epoch: higher each time the spool is opened.
    fn epoch(&self) -> u64;

    /// Names this spool through all its restarts. A copy that was restored has another name, so
    /// that nobody takes what it says of mail under way for proof.
    fn incarnation(&self) -> Uuid;

    /// The lanes it was opened with.
    fn lanes(&self) -> &[Arc<Lane>];

    /// Takes a message. Returns once it is durable.
    ///
    /// # Errors
    ///
    /// [`SpoolError::UnknownLane`], [`SpoolError::Full`], or that nothing can be committed.
    async fn accept(&self, incoming: Incoming) -> Result<Acceptance, SpoolError>;

    /// Leases at most `max` deliveries that are due, lanes of the lowest rank first, the oldest
    /// first within a lane; lanes of rank 1 and above share, so that none starves. What was given
    /// back by [`release`](Self::release) takes part only with a share, a quarter at most, so that
    /// mail that waits for somebody keeps no other from its turn.
    ///
    /// A delivery past its deadline is leased too: its end is the courier's to settle.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read, or nothing can be committed any more.
    async fn lease(&self, max: usize, now: SystemTime) -> Result<Vec<Delivery>, SpoolError>;

    /// Leases at most `max` deliveries that need a decision and perhaps no provider: those past
    /// their deadline, and those whose wait after an attempt in doubt is over and that are not to
    /// be sent again. Neither kind keeps out the other. Each is otherwise as
    /// [`lease`](Self::lease) gives it.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read, or nothing can be committed any more.
    async fn lease_overdue(&self, max: usize, now: SystemTime)
    -> Result<Vec<Delivery>, SpoolError>;

    /// Gives a lease back with nothing settled. A delivery that is not leased is left alone.
    fn release(&self, delivery: DeliveryId, park: Park);

    /// Makes every parked delivery due at once, in the share that such mail has of each lease.
    fn unpark(&self);

    /// When the next delivery that is not leased is due; perhaps in the past.
    fn next_due(&self) -> Option<SystemTime>;

    /// Returns when [`next_due`](Self::next_due) has become earlier since the last call. For one
    /// waiter; cancel-safe.
    async fn due_changed(&self);

    /// All that is known of a message.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it could not be read.
    async fn get(&self, id: MessageId) -> Result<Option<MessageRecord>, SpoolError>;

    /// Looks for messages, newest first.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn search(&self, search: &Search) -> Result<Page, SpoolError>;

    /// Counts, cheap enough to ask each second.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn stats(&self) -> Result<Stats, SpoolError>;

    /// Counts every message one by one. Takes time in proportion to their number.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn audit(&self) -> Result<Audit, SpoolError>;

    /// Calls a message off. Refused once an attempt is open or in doubt, or all is final.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn cancel(&self, id: MessageId, now: SystemTime) -> Result<Change, SpoolError>;

    /// Sends a finished message's failed recipients again, with the lane's whole time before
    /// them. What is in doubt goes out again only by `duplicates`.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn requeue(
        &self,
        id: MessageId,
        duplicates: Duplicates,
        now: SystemTime,
    ) -> Result<Change, SpoolError>;

    /// Erases a message and all that is known of it. Refused while an attempt is open.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn erase(&self, id: MessageId) -> Result<Change, SpoolError>;

    /// Takes a provider's word about one recipient after the fact. It moves only forward:
    /// in doubt, accepted, delivered, bounced, complained.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn observe(&self, evidence: &Evidence) -> Result<Change, SpoolError>;

    /// An attempt that is open or in doubt, and its delivery; none where it is unknown, its end is
    /// certain, or its record is damaged.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it could not be read.
    async fn attempt(&self, id: AttemptId) -> Result<Option<OpenAttempt>, SpoolError>;

    /// The attempts at this agent that are open or in doubt.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, SpoolError>;

    /// Takes late evidence about an attempt: it closes an open one, or takes the place of an end
    /// in doubt. The delivery moves too, unless it is final; from `in_doubt` it may still move to
    /// accepted.
    ///
    /// # Errors
    ///
    /// [`SpoolError::AttemptOpen`] where it tells of some of the recipients while another attempt
    /// for all of them is open: it has to be brought again. Another [`SpoolError`] where it was not
    /// committed.
    async fn amend(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<Amended, SpoolError>;

    /// Events after this sequence number, oldest first, at most `max`. Events older than a day
    /// may be gone.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn events(&self, after: u64, max: usize) -> Result<Vec<Event>, SpoolError>;

    /// The sequence number of the last event committed, as it changes.
    fn last_event(&self) -> watch::Receiver<u64>;

    /// Deletes bodies and messages that are past their retention, at most some thousands a call;
    /// call again while something was collected.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn collect(&self, retention: Retention, now: SystemTime)
    -> Result<Collected, SpoolError>;

    /// Keeps a small record, or with `None` removes it; whether there was one before.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn put(
        &self,
        shelf: Shelf,
        key: &str,
        value: Option<Vec<u8>>,
    ) -> Result<bool, SpoolError>;

    /// The small records of a kind, by key.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn shelf(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, SpoolError>;

    /// The number of an agent's new session: higher than any given before, across restarts.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn next_generation(&self, agent: &AgentId) -> Result<u64, SpoolError>;

    /// How it fares.
    fn health(&self) -> SpoolHealth;

    /// Writes a consistent copy while it goes on working.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where the copy is not whole, or such a spool has none.
    async fn backup(&self, to: &Path) -> Result<(), SpoolError>;

    /// Finishes what was handed to it and stops. Later calls get [`SpoolError::Closed`].
    async fn close(&self);
}

/// How a lease is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    /// When it is due again.
    pub until: SystemTime,
    /// Why it waits, for people.
    pub reason: String,
}

/// Whether mail that was perhaps sent may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// It may not.
    Refuse,
    /// It may: a person said so.
    Accept,
}

/// What became of a change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is committed.
    Done,
    /// There is no such message.
    NotFound,
    /// The message's state does not allow it.
    Refused {
        /// Its status.
        status: Status,
        /// Why, for people.
        reason: String,
    },
    /// What it needs is past retention.
    Gone,
}

/// A provider's word about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The message.
    pub message: MessageId,
    /// The recipient; none: all of those that the provider took or perhaps took.
    pub recipient: Option<EmailAddress>,
    /// What was seen.
    pub sighting: Sighting,
    /// When, by the provider's word.
    pub at: SystemTime,
}

/// What a provider has seen of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It has taken it.
    Accepted,
    /// The recipient's host took it.
    Delivered,
    /// The recipient's host refused it.
    Bounced,
    /// The recipient called it spam.
    Complained,
}

impl Sighting {
    /// The status it leads to.
    pub const fn status(self) -> Status {
        match self {
            Self::Accepted => Status::Accepted,
            Self::Delivered => Status::Delivered,
            Self::Bounced => Status::Bounced,
            Self::Complained => Status::Complained,
        }
    }
}

/// An attempt that is not settled, and its delivery.
#[derive(Clone, Debug)]
pub struct OpenAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// Its delivery, with what was tried *before* this attempt. Its epoch is the owner's present
    /// one.
    pub delivery: Delivery,
}

/// What late evidence did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amended {
    /// The attempt is settled by it, and its delivery moved.
    Moved,
    /// The attempt is settled by it; its delivery stays where it is.
    Closed,
    /// Nothing: the attempt is unknown, or its end was certain already.
    Unchanged,
}

impl Amended {
    /// Evidence that changes nothing, because the attempt was settled before it came, leaves
    /// whoever brought it with a delivery that it knows too little of.
    pub(crate) fn or_refused(self, attempt: AttemptId) -> Result<(), LogError> {
        match self {
            Self::Moved | Self::Closed => Ok(()),
            Self::Unchanged => Err(LogError::new(format!("attempt {attempt} is settled already"))),
        }
    }
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bodies.
    pub bodies: u64,
    /// Whole messages.
    pub messages: u64,
}
