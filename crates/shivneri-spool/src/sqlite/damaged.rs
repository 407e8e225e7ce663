//! What can still be shown of a message whose rows can't all be read. Nothing is decided by it.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, params, types::ValueRef};
use shivneri_core::{DeliveryId, EmailAddress, MessageId};
use uuid::Uuid;

use super::{
    codes,
    rows::{self, MESSAGE, MessageRow},
};
use crate::{
    Status,
    model::{
        Part, Try,
        queue::{from_micros, key_of},
    },
};

/// A message's id. One that can't be read is shown, and found, by its row's number instead.
pub(super) fn id(row: &Row<'_>, at: usize, message: i64) -> rusqlite::Result<MessageId> {
    match row.get(at) {
        Ok(bytes) => Ok(MessageId::from_uuid(Uuid::from_bytes(bytes))),
        Err(error) if codes::is_damage(&error) => {
            Ok(MessageId::from_uuid(Uuid::from_u64_pair(0, message as u64)))
        }
        Err(error) => Err(error),
    }
}

/// A message's row, read as far as it can be. Its lane must be there.
pub(super) fn read_message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    match MessageRow::read(row) {
        Err(error) if codes::is_damage(&error) => bare_message(row),
        other => other,
    }
}

fn bare_message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let lossy = |at| text(row, at).map(Cow::into_owned);
    let number = row.get(0)?;
    Ok(MessageRow {
        row: number,
        id: id(row, 1, number)?,
        lane: row.get(2)?,
        door: lossy(3)?,
        owner: lossy(4)?,
        sender: lossy(5)?,
        recipients: lossy(6)?,
        subject: lossy(7)?,
        tags: lossy(8)?,
        providers: None,
        on_doubt: row.get(10).and_then(codes::on_doubt).unwrap_or_default(),
        accepted_at: from_micros(row.get(11).unwrap_or_default()),
        send_at: row.get::<_, Option<i64>>(12).unwrap_or_default().map(from_micros),
    })
}

/// A column's text; what is no UTF-8 in it is replaced.
pub(super) fn text<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<Cow<'a, str>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Cow::Borrowed(""),
    })
}

pub(super) fn message(conn: &Connection, id: MessageId) -> rusqlite::Result<Option<MessageRow>> {
    let found = conn
        .prepare_cached(&format!("SELECT {MESSAGE} FROM messages m WHERE m.id = ?1"))?
        .query_row([id.as_uuid().as_bytes()], read_message)
        .optional()?;
    match (found, id.as_uuid().as_u64_pair()) {
        (None, (0, row)) => Ok(message_at(conn, row as i64)?.filter(|message| message.id == id)),
        (found, _) => Ok(found),
    }
}

pub(super) fn message_at(conn: &Connection, row: i64) -> rusqlite::Result<Option<MessageRow>> {
    conn.prepare_cached(&format!("SELECT {MESSAGE} FROM messages m WHERE m.row = ?1"))?
        .query_row([row], read_message)
        .optional()
}

/// Every part of a message, each read as far as it can be.
pub(super) fn parts(conn: &Connection, message: &MessageRow) -> rusqlite::Result<Vec<Part>> {
    let all = message.addresses();
    let whole = all.and_then(|all| rows::parts(conn, message.row, message.id, &all));
    match whole {
        Err(error) if codes::is_damage(&error) => {
            tracing::warn!(message = %message.id, %error, "a message's record is damaged");
            bare_parts(conn, message)
        }
        other => other,
    }
}

fn bare_parts(conn: &Connection, message: &MessageRow) -> rusqlite::Result<Vec<Part>> {
    let all: Vec<EmailAddress> =
        codes::lines(&message.recipients).filter_map(|line| line.parse().ok()).collect();
    let (first, last) = (key_of(message.row, 0), key_of(message.row + 1, 0) - 1);
    let sql = format!(
        "SELECT {} FROM deliveries d WHERE d.key BETWEEN ?1 AND ?2 ORDER BY d.key",
        rows::PART
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let parts = statement.query_map(params![first, last], |row| {
        match rows::read_part(row, 0, message.id, &all) {
            Err(error) if codes::is_damage(&error) => {
                Ok((bare_part(row, message, &all, &error)?, true))
            }
            other => Ok((other?, false)),
        }
    })?;
    let mut parts: Vec<(Part, bool)> = parts.collect::<Result<_, _>>()?;
    // Whose part says so itself is in no other.
    let whole = parts.iter().filter(|(_, is_bare)| !is_bare);
    let known: Vec<_> = whole.flat_map(|(part, _)| part.recipients.clone()).collect();
    for (part, _) in parts.iter_mut().filter(|(_, is_bare)| *is_bare) {
        part.recipients.retain(|one| !known.iter().any(|other| other.same_mailbox(one)));
    }
    Ok(parts.into_iter().map(|(part, _)| part).collect())
}

/// A part that can't be read is damaged, whether it has been set aside yet or not.
fn bare_part(
    row: &Row<'_>,
    message: &MessageRow,
    all: &[EmailAddress],
    error: &rusqlite::Error,
) -> rusqlite::Result<Part> {
    let time = |at| from_micros(row.get(at).unwrap_or_default());
    let changed_at = time(14);
    let id = DeliveryId::from_uuid(*message.id.as_uuid());
    let mut part = Part::first(id, all.to_vec(), time(3), time(4), changed_at);
    part.number = (row.get::<_, i64>(0)? - key_of(message.row, 0)) as u16;
    part.state = Status::Damaged;
    part.doubts = row.get(7).unwrap_or_default();
    part.overruled = row.get(16).unwrap_or_default();
    part.attempts = row.get(5).unwrap_or_default();
    part.resent = row.get(8).unwrap_or_default();
    part.reason = Some(error.to_string());
    Ok(part)
}

/// A part's attempts; none where they can't be read.
pub(super) fn tries(
    conn: &Connection,
    message: &MessageRow,
    part: &Part,
) -> rusqlite::Result<Vec<Try>> {
    match rows::tries(conn, message.row, message.id, part) {
        Err(error) if codes::is_damage(&error) => {
            tracing::warn!(message = %message.id, %error, "the record of an attempt is damaged");
            Ok(Vec::new())
        }
        other => other,
    }
}
