//! The rows of attempts.

use rusqlite::{Connection, OptionalExtension, Row, params};
use shivneri_core::{AgentSession, Answer, Attempt, AttemptId, DeliveryId, MessageId};
use uuid::Uuid;

use super::{MessageRow, message_at, part_of};
use crate::{
    model::{
        End, Part, Try,
        queue::{PART_BITS, from_micros, key_of, micros},
    },
    sqlite::codes,
};

const TRY: &str = "a.delivery, a.number, a.id, a.provider, a.agent, a.generation, \
     a.journal, a.epoch, a.reason, a.on_doubt, a.possible_duplicate, a.started_at, a.timeout, \
     a.ended_at, a.outcome, a.past, a.detail, a.answer_status, a.answer_text, \
     a.provider_message_id, a.key_until, coalesce(a.request, a.number), a.repetition";

/// An attempt from the columns of [`TRY`].
pub(in crate::sqlite) fn read_try(
    row: &Row<'_>,
    message: MessageId,
    delivery: DeliveryId,
) -> rusqlite::Result<Try> {
    let agent = row.get_ref(4)?.as_str_or_null()?.map(codes::parsed).transpose()?;
    let session = match (agent, row.get::<_, Option<i64>>(5)?, row.get(6)?) {
        (Some(agent), Some(generation), Some(journal)) => Some(AgentSession {
            agent,
            generation: generation as u64,
            journal: Uuid::from_bytes(journal),
        }),
        (None, ..) | (_, None, _) | (.., None) => None,
    };
    let attempt = Attempt {
        id: AttemptId::from_uuid(Uuid::from_bytes(row.get(2)?)),
        delivery,
        message,
        number: row.get(1)?,
        provider: codes::parsed(row.get_ref(3)?.as_str()?)?,
        session,
        epoch: row.get::<_, i64>(7)? as u64,
        reason: row.get(8)?,
        on_doubt: codes::on_doubt(row.get(9)?)?,
        possible_duplicate: row.get(10)?,
        key_until: row.get::<_, Option<i64>>(20)?.map(from_micros),
        request: row.get(21)?,
        repetition: row.get(22)?,
        started_at: from_micros(row.get(11)?),
        timeout: codes::duration(row.get(12)?),
    };
    let Some(at) = row.get::<_, Option<i64>>(13)? else { return Ok(Try { attempt, end: None }) };
    let answer = match (row.get(17)?, row.get(18)?) {
        (Some(status), Some(text)) => Some(Answer { status, text }),
        (None, _) | (_, None) => None,
    };
    let end = End {
        at: from_micros(at),
        word: row.get::<_, String>(14)?.into(),
        past: row.get::<_, Option<i64>>(15)?.map(codes::past).transpose()?,
        detail: row.get(16)?,
        answer,
        provider_message_id: row.get(19)?,
    };
    Ok(Try { attempt, end: Some(end) })
}

/// A part's message and attempts, if the part itself can be read as well.
pub(in crate::sqlite) fn of_attempt(
    conn: &Connection,
    key: i64,
) -> rusqlite::Result<Option<(MessageRow, Part, Vec<Try>)>> {
    let row = key >> PART_BITS;
    let Some(message) = message_at(conn, row)? else { return Ok(None) };
    let Some(part) = part_of(conn, key, message.id, Some(&message))? else { return Ok(None) };
    let tries = tries(conn, row, message.id, &part)?;
    Ok(Some((message, part, tries)))
}

/// Every attempt of one part, oldest first.
pub(in crate::sqlite) fn tries(
    conn: &Connection,
    row: i64,
    message: MessageId,
    part: &Part,
) -> rusqlite::Result<Vec<Try>> {
    conn.prepare_cached(&format!(
        "SELECT {TRY} FROM attempts a WHERE a.delivery = ?1 ORDER BY a.number"
    ))?
    .query_map([key_of(row, part.number)], |row| read_try(row, message, part.id))?
    .collect()
}

pub(in crate::sqlite) fn insert_try(
    conn: &Connection,
    key: i64,
    attempt: &Attempt,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO attempts (delivery, number, id, provider, agent, generation, \
         journal, epoch, reason, on_doubt, possible_duplicate, started_at, timeout, key_until, \
         request, repetition, unsettled) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 1)";
    let session = attempt.session.as_ref();
    conn.prepare_cached(SQL)?.execute(params![
        key,
        attempt.number,
        attempt.id.as_uuid().as_bytes(),
        attempt.provider.as_str(),
        session.map(|session| session.agent.as_str()),
        session.map(|session| session.generation as i64),
        session.map(|session| session.journal.as_bytes()),
        attempt.epoch as i64,
        attempt.reason,
        codes::of_on_doubt(attempt.on_doubt),
        attempt.possible_duplicate,
        micros(attempt.started_at),
        codes::of_duration(attempt.timeout),
        attempt.key_until.map(micros),
        attempt.request,
        attempt.repetition,
    ])?;
    Ok(())
}

pub(in crate::sqlite) fn close_try(
    conn: &Connection,
    key: i64,
    number: i64,
    end: &End,
) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE attempts SET unsettled = ?3, ended_at = ?4, outcome = ?5, \
         past = ?6, detail = ?7, answer_status = ?8, answer_text = ?9, provider_message_id = ?10 \
         WHERE delivery = ?1 AND number = ?2";
    conn.prepare_cached(SQL)?.execute(params![
        key,
        number,
        if end.is_in_doubt() { 2 } else { 0 },
        micros(end.at),
        end.word,
        end.past.map(codes::of_past),
        end.detail,
        end.answer.as_ref().map(|answer| answer.status),
        end.answer.as_ref().map(|answer| answer.text.as_str()),
        end.provider_message_id,
    ])?;
    Ok(())
}

/// An attempt that is open or in doubt, by what can always be read of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct Unsettled {
    /// Its part's.
    pub(in crate::sqlite) key: i64,
    pub(in crate::sqlite) number: i64,
    pub(in crate::sqlite) is_open: bool,
}

pub(in crate::sqlite) fn unsettled_try(
    conn: &Connection,
    id: AttemptId,
) -> rusqlite::Result<Option<Unsettled>> {
    const SQL: &str = "SELECT delivery, number, ended_at IS NULL FROM attempts \
         WHERE id = ?1 AND unsettled > 0";
    let read = |row: &Row<'_>| {
        Ok(Unsettled { key: row.get(0)?, number: row.get(1)?, is_open: row.get(2)? })
    };
    conn.prepare_cached(SQL)?.query_row([id.as_uuid().as_bytes()], read).optional()
}
