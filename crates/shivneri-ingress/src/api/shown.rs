//! Messages as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use shivneri_core::{
    AgentId, AttemptId, DeliveryId, Email, LaneName, Mailbox, MessageId, ProviderId,
};
use shivneri_spool::{AttemptRecord, MessageRecord, Status, Summary};

use super::times::Shown;

/// A message in a list.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    id: MessageId,
    status: Status,
    in_doubt: bool,
    possible_duplicate: bool,
    lane: &'a LaneName,
    door: &'a str,
    owner: &'a str,
    from: &'a str,
    recipients: &'a [String],
    subject: &'a str,
    tags: &'a [String],
    provider: Option<&'a ProviderId>,
    accepted_at: Shown,
    changed_at: Shown,
}

impl<'a> Row<'a> {
    pub(super) fn of(summary: &'a Summary) -> Self {
        Self {
            id: summary.id,
            status: summary.status,
            in_doubt: summary.in_doubt,
            possible_duplicate: summary.possible_duplicate,
            lane: &summary.lane,
            door: &summary.door,
            owner: &summary.owner,
            from: &summary.from,
            recipients: &summary.recipients,
            subject: &summary.subject,
            tags: &summary.tags,
            provider: summary.provider.as_ref(),
            accepted_at: Shown(summary.accepted_at),
            changed_at: Shown(summary.changed_at),
        }
    }
}

/// All of a message but its attachments' contents. What went with the body is null once that is
/// past retention.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    id: MessageId,
    status: Status,
    in_doubt: bool,
    possible_duplicate: bool,
    door: &'a str,
    owner: &'a str,
    accepted_at: Shown,
    changed_at: Shown,
    from: &'a str,
    to: Option<Vec<String>>,
    cc: Option<Vec<String>>,
    bcc: Option<Vec<String>>,
    reply_to: Option<Vec<String>>,
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    headers: Option<BTreeMap<&'a str, &'a str>>,
    attachments: Option<Vec<File<'a>>>,
    tags: &'a [String],
    metadata: Option<&'a BTreeMap<String, String>>,
    lane: &'a LaneName,
    send_at: Option<Shown>,
    expires_at: Shown,
    on_doubt: &'static str,
    providers: Option<&'a [ProviderId]>,
    recipients: Vec<Recipient<'a>>,
    attempts: Vec<Attempt<'a>>,
    events: Vec<Event>,
    waiting: Option<Waiting<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    filename: &'a str,
    content_type: &'a str,
    size: usize,
    content_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Recipient<'a> {
    address: &'a str,
    status: Status,
    delivery: DeliveryId,
}

#[derive(Debug, Serialize)]
struct Attempt<'a> {
    id: AttemptId,
    delivery: DeliveryId,
    number: u32,
    provider: &'a ProviderId,
    agent: Option<&'a AgentId>,
    reason: &'a str,
    possible_duplicate: bool,
    started_at: Shown,
    ended_at: Option<Shown>,
    outcome: Option<&'a str>,
    detail: Option<&'a str>,
    provider_message_id: Option<&'a str>,
    answer: Option<Answer<'a>>,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    status: u16,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct Event {
    status: Status,
    in_doubt: bool,
    at: Shown,
}

#[derive(Debug, Serialize)]
struct Waiting<'a> {
    reason: &'a str,
    until: Shown,
}

/// Mailboxes in RFC 5322 form.
pub(super) fn texts(mailboxes: &[Mailbox]) -> Vec<String> {
    mailboxes.iter().map(Mailbox::to_string).collect()
}

/// Custom headers, by name.
pub(super) fn headers(email: &Email) -> BTreeMap<&str, &str> {
    email.headers().iter().map(|header| (header.name(), header.value())).collect()
}

impl<'a> Message<'a> {
    pub(super) fn of(record: &'a MessageRecord) -> Self {
        let summary = &record.summary;
        let email = record.email.as_deref();
        let list = |of: fn(&Email) -> &[Mailbox]| email.map(|email| texts(of(email)));
        Self {
            id: summary.id,
            status: summary.status,
            in_doubt: summary.in_doubt,
            possible_duplicate: summary.possible_duplicate,
            door: &summary.door,
            owner: &summary.owner,
            accepted_at: Shown(summary.accepted_at),
            changed_at: Shown(summary.changed_at),
            from: &summary.from,
            to: list(Email::to),
            cc: list(Email::cc),
            bcc: list(Email::bcc),
            reply_to: list(Email::reply_to),
            subject: &summary.subject,
            text: email.and_then(Email::text),
            html: email.and_then(Email::html),
            headers: email.map(headers),
            attachments: email.map(files),
            tags: &summary.tags,
            metadata: email.map(Email::metadata),
            lane: &summary.lane,
            send_at: record.send_at.map(Shown),
            expires_at: Shown(record.deadline),
            on_doubt: record.on_doubt.as_str(),
            providers: record.providers.as_deref(),
            recipients: record
                .recipients
                .iter()
                .map(|one| Recipient {
                    address: &one.address,
                    status: one.status,
                    delivery: one.delivery,
                })
                .collect(),
            attempts: record.attempts.iter().map(Attempt::of).collect(),
            events: record
                .events
                .iter()
                .map(|event| Event {
                    status: event.status,
                    in_doubt: event.in_doubt,
                    at: Shown(event.at),
                })
                .collect(),
            waiting: record
                .waiting
                .as_ref()
                .map(|waiting| Waiting { reason: &waiting.reason, until: Shown(waiting.until) }),
        }
    }
}

fn files(email: &Email) -> Vec<File<'_>> {
    let files = email.attachments().iter().map(|file| File {
        filename: file.filename(),
        content_type: file.content_type(),
        size: file.content().len(),
        content_id: file.content_id(),
    });
    files.collect()
}

impl<'a> Attempt<'a> {
    fn of(record: &'a AttemptRecord) -> Self {
        Self {
            id: record.id,
            delivery: record.delivery,
            number: record.number,
            provider: &record.provider,
            agent: record.agent.as_ref(),
            reason: &record.reason,
            possible_duplicate: record.possible_duplicate,
            started_at: Shown(record.started_at),
            ended_at: record.ended_at.map(Shown),
            outcome: record.outcome.as_deref(),
            detail: record.detail.as_deref(),
            provider_message_id: record.provider_message_id.as_deref(),
            answer: record
                .answer
                .as_ref()
                .map(|answer| Answer { status: answer.status, text: &answer.text }),
        }
    }
}
