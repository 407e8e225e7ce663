//! What the spool shows of a message.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{
    AgentId, Answer, AttemptId, DeliveryId, Email, LaneName, MessageId, OnDoubt, ProviderId,
};

use crate::Status;

/// A message in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub status: Status,
    /// Whether some attempt was perhaps sent and nothing has settled it.
    pub in_doubt: bool,
    /// Whether an attempt went out while an earlier one was in doubt.
    pub possible_duplicate: bool,
    /// The lane.
    pub lane: LaneName,
    /// The door it came through, as `http`.
    pub door: String,
    /// Who sent it: an API key's name, or `anonymous`.
    pub owner: String,
    /// The author, in RFC 5322 form.
    pub from: String,
    /// Every recipient's address.
    pub recipients: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The provider of the latest attempt that has ended.
    pub provider: Option<ProviderId>,
    /// When it was accepted.
    pub accepted_at: SystemTime,
    /// When its status was last committed.
    pub changed_at: SystemTime,
}

/// All that is known of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRecord {
    /// What a list shows.
    pub summary: Summary,
    /// The whole email; none once its body is past retention, or where its record is damaged.
    pub email: Option<Arc<Email>>,
    /// Not to be sent before this time.
    pub send_at: Option<SystemTime>,
    /// When it expires.
    pub deadline: SystemTime,
    /// What follows an attempt in doubt.
    pub on_doubt: OnDoubt,
    /// The providers it may take; none: all.
    pub providers: Option<Vec<ProviderId>>,
    /// Each recipient and where it stands.
    pub recipients: Vec<RecipientRecord>,
    /// Each attempt, in the order they were begun.
    pub attempts: Vec<AttemptRecord>,
    /// Each change of its status, oldest first.
    pub events: Vec<Event>,
    /// What it waits for, where it waits.
    pub waiting: Option<Waiting>,
}

impl MessageRecord {
    /// Its id.
    pub fn id(&self) -> MessageId {
        self.summary.id
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.summary.status
    }
}

/// One recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRecord {
    /// The address.
    pub address: String,
    /// Where it stands.
    pub status: Status,
    /// The delivery it belongs to.
    pub delivery: DeliveryId,
}

/// One attempt of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// The delivery it was for.
    pub delivery: DeliveryId,
    /// Counts from 1 within the delivery.
    pub number: u32,
    /// The account it went through.
    pub provider: ProviderId,
    /// The agent it was offered to.
    pub agent: Option<AgentId>,
    /// Why this provider was taken, and why others were passed over.
    pub reason: String,
    /// Whether it went out while an earlier one was in doubt.
    pub possible_duplicate: bool,
    /// When it was begun.
    pub started_at: SystemTime,
    /// When it ended; none while it is open.
    pub ended_at: Option<SystemTime>,
    /// The word of its outcome; none while it is open.
    pub outcome: Option<String>,
    /// Why it failed, in words.
    pub detail: Option<String>,
    /// The provider's own id, where it took it.
    pub provider_message_id: Option<String>,
    /// What the provider answered.
    pub answer: Option<Answer>,
}

/// A change of a message's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Rises with each event of the spool, so that a reader can go on where it stopped. Zero in a
    /// message's own list.
    pub sequence: u64,
    /// The message.
    pub message: MessageId,
    /// The status it came to.
    pub status: Status,
    /// Whether it is in doubt.
    pub in_doubt: bool,
    /// When.
    pub at: SystemTime,
}

/// What a message waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why, for people.
    pub reason: String,
    /// When it is due again at the latest.
    pub until: SystemTime,
}
