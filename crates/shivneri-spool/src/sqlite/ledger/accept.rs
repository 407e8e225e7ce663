//! Taking a message in.

use rusqlite::params;
use shivneri_core::{DeliveryId, EmailAddress, Lane, OnDoubt, ProviderId};

use super::{Ledger, Trouble};
use crate::{
    Acceptance, Idempotency, Incoming, SpoolError, Status, body,
    model::{
        Part,
        message::Face,
        queue::{MAX_PARTS, key_of},
    },
    sqlite::{
        codes,
        rows::{self, MessageRow},
    },
};

/// An incoming message with all that its rows need, made by who submits it and not by the one
/// writer.
#[derive(Debug)]
pub(in crate::sqlite) struct Prepared {
    message: MessageRow,
    part: Part,
    body: Vec<u8>,
    lane: usize,
    idempotency: Option<Idempotency>,
}

impl Prepared {
    pub(in crate::sqlite) fn new(
        incoming: Incoming,
        lane: usize,
        lane_id: i64,
        rules: &Lane,
    ) -> Result<Self, SpoolError> {
        let Incoming { message, door, owner, idempotency, at } = incoming;
        let email = &message.email;
        let recipients = email.envelope().recipients();
        if recipients.len() > MAX_PARTS {
            let reason = format!("{} recipients, {MAX_PARTS} at most", recipients.len());
            return Err(SpoolError::Write { reason });
        }
        let due = message.send_at.unwrap_or(at).max(at);
        let deadline = message.expires_at.unwrap_or(due + rules.max_age);
        let id = DeliveryId::from_uuid(*email.id().as_uuid());
        let part = Part::first(id, recipients.to_vec(), due, deadline, at);
        let providers = message.providers.as_ref();
        let row = MessageRow {
            row: 0,
            id: email.id(),
            lane: lane_id,
            door: door.as_str().to_owned(),
            owner,
            sender: email.from().to_string(),
            recipients: codes::of_lines(recipients.iter().map(EmailAddress::as_str)),
            subject: email.subject().to_owned(),
            tags: codes::of_lines(email.tags()),
            providers: providers.map(|list| codes::of_lines(list.iter().map(ProviderId::as_str))),
            on_doubt: doubt_rule(message.on_doubt, rules),
            accepted_at: at,
            send_at: message.send_at,
        };
        Ok(Self { message: row, part, body: body::encode(email), lane, idempotency })
    }
}

fn doubt_rule(own: Option<OnDoubt>, rules: &Lane) -> OnDoubt {
    own.unwrap_or(rules.on_doubt)
}

impl Ledger<'_> {
    pub(in crate::sqlite) fn accept(&mut self, incoming: Prepared) -> Result<Acceptance, Trouble> {
        let Prepared { mut message, part, body, lane, idempotency } = incoming;
        let at = message.accepted_at;
        if let Some(idempotency) = &idempotency {
            let earlier = self.keys.find(self.conn, &message.owner, &idempotency.key, at)?;
            if let Some(earlier) = earlier {
                return Ok(if earlier.fingerprint == idempotency.fingerprint {
                    Acceptance::Replayed { id: earlier.message, status: earlier.status }
                } else {
                    Acceptance::Conflict
                });
            }
        }
        message.row = self.tally.messages as i64 + 1;
        if !message.insert(self.conn)? {
            let reason = format!("message {} is there already", message.id);
            return Err(SpoolError::Write { reason }.into());
        }
        self.tally.messages += 1;
        let (row, id, status) = (message.row, message.id, part.state);
        self.conn
            .prepare_cached("INSERT INTO bodies (message, bytes) VALUES (?1, ?2)")?
            .execute(params![row, body])?;
        rows::insert_part(self.conn, row, message.lane, &part)?;
        if let Some(idempotency) = &idempotency {
            self.keys.drop_old(self.conn, at)?;
            self.keys.insert(self.conn, &message.owner, idempotency, id, status, at)?;
        }
        self.tally.accepted += 1;
        self.tally.add(message.lane, Status::Queued);
        self.event(row, Face { status, in_doubt: false }, at)?;
        self.due.push(super::Due { lane, at: part.due, key: key_of(row, part.number) });
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("accept.written");
        Ok(Acceptance::New { id, status })
    }
}
