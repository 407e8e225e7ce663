//! What the writer does: each operation is applied to the open transaction of its group.

mod accept;
mod amend;
mod aside;
mod attempts;
mod changes;
mod collect;

use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, params};
use shivneri_core::MessageId;

use super::{
    Shared, codes,
    keys::Keys,
    rows::{self, MessageRow},
    tally::Tally,
};
use crate::{
    SpoolError, Status,
    model::{
        Part,
        message::{self, Face},
        queue::{key_of, micros},
    },
};

pub(super) use accept::Prepared;

/// Why an operation was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It can't be; nothing was written.
    Refused(SpoolError),
    /// The database failed; nobody knows what was written.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<SpoolError> for Trouble {
    fn from(error: SpoolError) -> Self {
        Self::Refused(error)
    }
}

/// What is done once the group is committed.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) lane: usize,
    pub(super) at: SystemTime,
    pub(super) key: i64,
}

/// The writer's view of its open transaction.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) conn: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) tally: &'a mut Tally,
    pub(super) keys: &'a mut Keys,
    /// Deliveries that wait from this commit on.
    pub(super) due: Vec<Due>,
}

/// What the counters and events need to know of a message's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    class: Status,
    face: Face,
    doubts: u64,
}

fn standing(parts: &[Part]) -> Standing {
    Standing {
        class: message::class(parts),
        // What is scheduled counts as such, whatever the hour.
        face: message::face(parts, |_| false, SystemTime::UNIX_EPOCH),
        doubts: parts.iter().map(Part::open_doubts).sum(),
    }
}

impl Ledger<'_> {
    /// Runs an operation of several statements so that its failure leaves nothing behind.
    pub(super) fn guarded<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (tally, due) = (self.tally.clone(), self.due.len());
        self.conn.prepare_cached("SAVEPOINT operation")?.execute([])?;
        let result = operation(self);
        if result.is_err() {
            self.conn.prepare_cached("ROLLBACK TO operation")?.execute([])?;
            *self.tally = tally;
            self.due.truncate(due);
        }
        self.conn.prepare_cached("RELEASE operation")?.execute([])?;
        match result {
            Err(Trouble::Sql(error)) if !is_fatal(&error) => {
                tracing::warn!(%error, "an operation was not possible and left nothing behind");
                Err(SpoolError::Write { reason: error.to_string() }.into())
            }
            done_or_not => done_or_not,
        }
    }

    /// Moves counters and writes the event for a message whose parts have changed. Returns what
    /// its trail gets; the caller writes it with the first part.
    fn shift(
        &mut self,
        row: i64,
        lane: i64,
        before: Standing,
        after: Standing,
        now: SystemTime,
    ) -> rusqlite::Result<Option<[u8; TRAIL]>> {
        if before == after {
            return Ok(None);
        }
        if before.class != after.class {
            self.tally.take(lane, before.class);
            self.tally.add(lane, after.class);
        }
        self.tally.doubtful = (self.tally.doubtful + after.doubts).saturating_sub(before.doubts);
        if before.face == after.face {
            return Ok(None);
        }
        self.event(row, after.face, now)?;
        Ok(Some(trail(after.face, now)))
    }

    fn event(&mut self, row: i64, face: Face, at: SystemTime) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT INTO events (sequence, message, status, in_doubt, at) \
             VALUES (?1, ?2, ?3, ?4, ?5)";
        self.tally.events += 1;
        self.conn.prepare_cached(SQL)?.execute(params![
            self.tally.events as i64,
            row,
            codes::of_status(face.status),
            face.in_doubt,
            micros(at),
        ])?;
        Ok(())
    }

    /// A message and its parts. Leased parts are as the lease has them, which is what their rows
    /// say too, but for attempts that are open.
    fn load(
        &mut self,
        id: MessageId,
        now: SystemTime,
    ) -> Result<Option<(MessageRow, Vec<Part>)>, Trouble> {
        let Some(message) = rows::message(self.conn, id)? else { return Ok(None) };
        let parts = self.parts_of(&message, now)?;
        Ok(Some((message, parts)))
    }

    /// Writes every part that differs from `before`, the new ones too, with counters and event.
    pub(super) fn rewrite(
        &mut self,
        message: &MessageRow,
        before: &[Part],
        after: &[Part],
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let moved = standing(after);
        let trail = self.shift(message.row, message.lane, standing(before), moved, now)?;
        for part in after {
            let first = if part.number == 0 { trail.as_ref() } else { None };
            match before.iter().find(|old| old.number == part.number) {
                // One that stays is not written anew: it may stand for a row that can't be read.
                Some(old) if old == part => {
                    if let Some(bytes) = first {
                        rows::add_to_trail(self.conn, message.row, bytes)?;
                    }
                }
                Some(_) => {
                    let trail = first.map(|bytes| bytes.as_slice());
                    rows::update_part(self.conn, message.row, part, trail)?;
                }
                None => rows::insert_part(self.conn, message.row, message.lane, part)?,
            }
        }
        Ok(())
    }

    /// Remembers to make a part due after the commit, where it waits.
    fn wait(&mut self, lane: usize, row: i64, part: &Part) {
        if !part.state.is_final() {
            self.due.push(Due { lane, at: part.due, key: key_of(row, part.number) });
        }
    }
}

/// Bytes of one event in a message's trail: status, doubt, time.
pub(super) const TRAIL: usize = 10;

fn trail(face: Face, at: SystemTime) -> [u8; TRAIL] {
    let mut bytes = [0; TRAIL];
    bytes[0] = codes::of_status(face.status) as u8;
    bytes[1] = u8::from(face.in_doubt);
    bytes[2..].copy_from_slice(&micros(at).to_le_bytes());
    bytes
}

/// Whether an error says that the file, not the statement, is at fault.
fn is_fatal(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        None | Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}
