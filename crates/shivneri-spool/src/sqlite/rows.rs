//! Rows and what they stand for: messages, parts, attempts. All reading and writing of these
//! three goes through here.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use shivneri_core::{DeliveryId, EmailAddress, MessageId, OnDoubt, ProviderId};
use uuid::Uuid;

use super::codes;
use crate::model::{
    Part,
    queue::{PART_BITS, from_micros, key_of, micros},
};

mod tries;

pub(super) use tries::{Unsettled, close_try, insert_try, of_attempt, tries, unsettled_try};

/// A message's row: what is written once.
#[derive(Clone, Debug)]
pub(super) struct MessageRow {
    pub(super) row: i64,
    pub(super) id: MessageId,
    pub(super) lane: i64,
    pub(super) door: String,
    pub(super) owner: String,
    pub(super) sender: String,
    pub(super) recipients: String,
    pub(super) subject: String,
    pub(super) tags: String,
    pub(super) providers: Option<String>,
    pub(super) on_doubt: OnDoubt,
    pub(super) accepted_at: SystemTime,
    pub(super) send_at: Option<SystemTime>,
}

pub(super) const MESSAGE: &str = "m.row, m.id, m.lane, m.door, m.owner, m.sender, m.recipients, \
     m.subject, m.tags, m.providers, m.on_doubt, m.accepted_at, m.send_at";

impl MessageRow {
    /// From the columns of [`MESSAGE`], which come first.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: row.get(0)?,
            id: MessageId::from_uuid(Uuid::from_bytes(row.get(1)?)),
            lane: row.get(2)?,
            door: row.get(3)?,
            owner: row.get(4)?,
            sender: row.get(5)?,
            recipients: row.get(6)?,
            subject: row.get(7)?,
            tags: row.get(8)?,
            providers: row.get(9)?,
            on_doubt: codes::on_doubt(row.get(10)?)?,
            accepted_at: from_micros(row.get(11)?),
            send_at: row.get::<_, Option<i64>>(12)?.map(from_micros),
        })
    }

    pub(super) fn addresses(&self) -> rusqlite::Result<Vec<EmailAddress>> {
        codes::addresses(&self.recipients)
    }

    pub(super) fn route(&self) -> rusqlite::Result<Option<Vec<ProviderId>>> {
        let parse = |text: &String| codes::lines(text).map(codes::parsed).collect();
        self.providers.as_ref().map(parse).transpose()
    }

    /// Whether it was written: its id may be taken.
    pub(super) fn insert(&self, conn: &Connection) -> rusqlite::Result<bool> {
        const SQL: &str = "INSERT INTO messages (row, id, lane, door, owner, sender, recipients, \
             subject, tags, providers, on_doubt, accepted_at, send_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
             ON CONFLICT (id) DO NOTHING";
        let rows = conn.prepare_cached(SQL)?.execute(params![
            self.row,
            self.id.as_uuid().as_bytes(),
            self.lane,
            self.door,
            self.owner,
            self.sender,
            self.recipients,
            self.subject,
            self.tags,
            self.providers,
            codes::of_on_doubt(self.on_doubt),
            micros(self.accepted_at),
            self.send_at.map(micros),
        ])?;
        Ok(rows == 1)
    }
}

pub(super) fn message(conn: &Connection, id: MessageId) -> rusqlite::Result<Option<MessageRow>> {
    conn.prepare_cached(&format!("SELECT {MESSAGE} FROM messages m WHERE m.id = ?1"))?
        .query_row([id.as_uuid().as_bytes()], MessageRow::read)
        .optional()
}

pub(super) fn message_at(conn: &Connection, row: i64) -> rusqlite::Result<Option<MessageRow>> {
    conn.prepare_cached(&format!("SELECT {MESSAGE} FROM messages m WHERE m.row = ?1"))?
        .query_row([row], MessageRow::read)
        .optional()
}

/// Only the id of a message, whatever the rest of its row is worth.
pub(super) fn message_id(conn: &Connection, row: i64) -> rusqlite::Result<Option<MessageId>> {
    conn.prepare_cached("SELECT id FROM messages WHERE row = ?1")?
        .query_row([row], |row| Ok(MessageId::from_uuid(Uuid::from_bytes(row.get(0)?))))
        .optional()
}

pub(super) fn body(conn: &Connection, row: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT bytes FROM bodies WHERE message = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()
}

pub(super) const PART: &str = "d.key, d.id, d.state, d.due, d.deadline, d.attempts, d.forgiven, \
     d.doubts, d.resent, d.recipients, d.marks, d.dropped, d.reason, d.provider, d.changed_at, \
     d.asking, d.overruled";

/// A part from the columns of [`PART`], the first of which stands at `at`.
pub(super) fn read_part(
    row: &Row<'_>,
    at: usize,
    message: MessageId,
    all: &[EmailAddress],
) -> rusqlite::Result<Part> {
    let key: i64 = row.get(at)?;
    let id = match row.get::<_, Option<[u8; 16]>>(at + 1)? {
        Some(bytes) => Uuid::from_bytes(bytes),
        None => *message.as_uuid(),
    };
    let own = row.get_ref(at + 9)?.as_str_or_null()?.map(codes::addresses).transpose()?;
    let marks = row.get_ref(at + 10)?.as_str_or_null()?.map(codes::marks).transpose()?;
    let dropped = row.get_ref(at + 11)?.as_str_or_null()?.map(codes::addresses).transpose()?;
    Ok(Part {
        id: DeliveryId::from_uuid(id),
        number: (key & ((1 << PART_BITS) - 1)) as u16,
        state: codes::status(row.get(at + 2)?)?,
        whole: own.is_none(),
        recipients: own.unwrap_or_else(|| all.to_vec()),
        marks: marks.unwrap_or_default(),
        dropped: dropped.unwrap_or_default(),
        due: from_micros(row.get(at + 3)?),
        deadline: from_micros(row.get(at + 4)?),
        attempts: row.get(at + 5)?,
        forgiven: row.get(at + 6)?,
        doubts: row.get(at + 7)?,
        resent: row.get(at + 8)?,
        reason: row.get(at + 12)?,
        provider: row.get_ref(at + 13)?.as_str_or_null()?.map(codes::parsed).transpose()?,
        changed_at: from_micros(row.get(at + 14)?),
        asking: row.get::<_, Option<i64>>(at + 15)?.map(from_micros),
        overruled: row.get(at + 16)?,
    })
}

/// Every part of a message, by number.
pub(super) fn parts(
    conn: &Connection,
    row: i64,
    message: MessageId,
    all: &[EmailAddress],
) -> rusqlite::Result<Vec<Part>> {
    conn.prepare_cached(&format!(
        "SELECT {PART} FROM deliveries d WHERE d.key BETWEEN ?1 AND ?2 ORDER BY d.key"
    ))?
    .query_map(params![key_of(row, 0), key_of(row + 1, 0) - 1], |row| {
        read_part(row, 0, message, all)
    })?
    .collect()
}

/// One part of a message, whatever the others are worth.
pub(super) fn part(
    conn: &Connection,
    key: i64,
    message: MessageId,
    all: &[EmailAddress],
) -> rusqlite::Result<Option<Part>> {
    conn.prepare_cached(&format!("SELECT {PART} FROM deliveries d WHERE d.key = ?1"))?
        .query_row([key], |row| read_part(row, 0, message, all))
        .optional()
}

/// The same, by its message's row where it is at hand. A part that goes by the message's own
/// recipients can't be read without them.
pub(super) fn part_of(
    conn: &Connection,
    key: i64,
    id: MessageId,
    message: Option<&MessageRow>,
) -> rusqlite::Result<Option<Part>> {
    let all = message.map(MessageRow::addresses).transpose();
    match (part(conn, key, id, all.as_ref().map_or(&[], |all| all.as_deref().unwrap_or(&[])))?, all)
    {
        (Some(part), Err(error)) if part.whole => Err(error),
        (part, _) => Ok(part),
    }
}

/// The keys of a message's parts, by number.
pub(super) fn keys(conn: &Connection, row: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT key FROM deliveries WHERE key BETWEEN ?1 AND ?2 ORDER BY key")?
        .query_map([key_of(row, 0), key_of(row + 1, 0) - 1], |row| row.get(0))?
        .collect()
}

pub(super) fn insert_part(
    conn: &Connection,
    row: i64,
    lane: i64,
    part: &Part,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO deliveries (key, id, lane, state, due, deadline, attempts, \
         forgiven, doubts, resent, recipients, marks, dropped, reason, provider, changed_at, \
         asking, overruled) \
         VALUES (:key, :id, :lane, :state, :due, :deadline, :attempts, :forgiven, :doubts, \
         :resent, :recipients, :marks, :dropped, :reason, :provider, :changed_at, :asking, \
         :overruled)";
    let id = (part.number > 0).then(|| part.id.as_uuid().as_bytes());
    conn.prepare_cached(SQL)?.execute(named_params! {
        ":key": key_of(row, part.number),
        ":id": id,
        ":lane": lane,
        ":state": codes::of_status(part.state),
        ":due": micros(part.due),
        ":deadline": micros(part.deadline),
        ":attempts": part.attempts,
        ":forgiven": part.forgiven,
        ":doubts": part.doubts,
        ":resent": part.resent,
        ":recipients": own_recipients(part),
        ":marks": codes::of_marks(&part.marks),
        ":dropped": codes::of_addresses(&part.dropped),
        ":reason": part.reason,
        ":provider": part.provider.as_ref().map(ProviderId::as_str),
        ":changed_at": micros(part.changed_at),
        ":asking": part.asking.map(micros),
        ":overruled": part.overruled,
    })?;
    Ok(())
}

/// Writes a part's row again; `trail` is added to what stands there.
pub(super) fn update_part(
    conn: &Connection,
    row: i64,
    part: &Part,
    trail: Option<&[u8]>,
) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE deliveries SET state = :state, due = :due, deadline = :deadline, \
         attempts = :attempts, forgiven = :forgiven, doubts = :doubts, resent = :resent, \
         recipients = :recipients, marks = :marks, dropped = :dropped, reason = :reason, \
         provider = :provider, changed_at = :changed_at, asking = :asking, \
         overruled = :overruled, \
         trail = CASE WHEN :trail IS NULL THEN trail \
         ELSE CAST(coalesce(trail, x'') || :trail AS BLOB) END \
         WHERE key = :key";
    conn.prepare_cached(SQL)?.execute(named_params! {
        ":key": key_of(row, part.number),
        ":state": codes::of_status(part.state),
        ":due": micros(part.due),
        ":deadline": micros(part.deadline),
        ":attempts": part.attempts,
        ":forgiven": part.forgiven,
        ":doubts": part.doubts,
        ":resent": part.resent,
        ":recipients": own_recipients(part),
        ":marks": codes::of_marks(&part.marks),
        ":dropped": codes::of_addresses(&part.dropped),
        ":reason": part.reason,
        ":provider": part.provider.as_ref().map(ProviderId::as_str),
        ":changed_at": micros(part.changed_at),
        ":asking": part.asking.map(micros),
        ":overruled": part.overruled,
        ":trail": trail,
    })?;
    Ok(())
}

/// Adds to the trail, which is kept with a message's first part.
pub(super) fn add_to_trail(conn: &Connection, row: i64, trail: &[u8]) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE deliveries \
         SET trail = CAST(coalesce(trail, x'') || ?2 AS BLOB) WHERE key = ?1";
    conn.prepare_cached(SQL)?.execute(params![key_of(row, 0), trail])?;
    Ok(())
}

/// Keeps the latest attempt's number of a part that was settled while it ran.
pub(super) fn keep_number(
    conn: &Connection,
    key: i64,
    attempts: u32,
    resent: bool,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE deliveries SET attempts = ?2, resent = ?3 WHERE key = ?1")?
        .execute(params![key, attempts, resent])?;
    Ok(())
}

/// Its time has come: it counts as scheduled no longer.
pub(super) fn unschedule(conn: &Connection, key: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE deliveries SET state = 1 WHERE key = ?1 AND state = 0")?
        .execute([key])?;
    Ok(())
}

fn own_recipients(part: &Part) -> Option<String> {
    if part.whole { None } else { codes::of_addresses(&part.recipients) }
}
