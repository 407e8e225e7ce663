//! What is accepted, and what accepting it gives.

use std::time::SystemTime;

use shivneri_core::{MessageId, draft::Checked, submit::Door};

use crate::Status;

/// A message at the door of the spool.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The checked message. Its own words on doubt and providers are taken as they are; where it
    /// says nothing on doubt, the lane's rule holds.
    pub message: Checked,
    /// The door it came through.
    pub door: Door,
    /// Who sent it: an API key's name, or `anonymous`.
    pub owner: String,
    /// Makes it one message however often it is sent.
    pub idempotency: Option<Idempotency>,
    /// When it came.
    pub at: SystemTime,
}

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key the client chose; it counts per owner, for 24 hours.
    pub key: String,
    /// A digest of the request. The same key with another one is a conflict.
    pub fingerprint: [u8; 32],
}

/// What became of an incoming message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is on disk.
    New {
        /// Its id.
        id: MessageId,
        /// `queued` or `scheduled`.
        status: Status,
    },
    /// An earlier request with the same key and fingerprint was accepted; nothing was added.
    Replayed {
        /// The earlier message's id.
        id: MessageId,
        /// The status it had when it was accepted.
        status: Status,
    },
    /// An earlier request with the same key had another fingerprint; nothing was added.
    Conflict,
}
