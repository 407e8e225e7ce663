//! A message in memory.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{DeliveryId, Email, EmailAddress, LaneName, MessageId, OnDoubt, ProviderId};

use crate::{
    Event,
    model::{Part, Try, queue::key_of},
};

/// A message with all that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) row: i64,
    pub(super) id: MessageId,
    pub(super) lane: usize,
    pub(super) lane_name: LaneName,
    pub(super) door: &'static str,
    pub(super) owner: String,
    pub(super) from: String,
    pub(super) subject: String,
    pub(super) tags: Vec<String>,
    pub(super) recipients: Vec<EmailAddress>,
    pub(super) email: Option<Arc<Email>>,
    pub(super) on_doubt: OnDoubt,
    pub(super) providers: Option<Arc<[ProviderId]>>,
    pub(super) accepted_at: SystemTime,
    pub(super) send_at: Option<SystemTime>,
    pub(super) parts: Vec<Part>,
    pub(super) tries: Vec<Try>,
    pub(super) events: Vec<Event>,
}

impl Stored {
    pub(super) fn part(&self, key: i64) -> Option<&Part> {
        self.parts.iter().find(|part| key_of(self.row, part.number) == key)
    }

    pub(super) fn tries_of(&self, delivery: DeliveryId) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(move |one| one.attempt.delivery == delivery)
    }
}
