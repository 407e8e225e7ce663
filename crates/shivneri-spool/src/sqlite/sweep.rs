//! Finding what is past its retention: each message is looked at once, and again only while it
//! is not finished or too young.

use std::{collections::BTreeSet, time::SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

use super::codes;
use crate::{
    Retention,
    model::queue::{key_of, micros},
};

/// Messages looked at in one step.
const STEP: usize = 4096;

/// How far the search for old bodies and old messages has come.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    pub(super) bodies: Mark,
    pub(super) messages: Mark,
}

/// How far one search has come.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// Every message up to this row was looked at.
    last: i64,
    /// Those that were not finished, or finished too lately.
    later: BTreeSet<i64>,
}

impl Sweep {
    /// Rows whose bodies, and rows whose messages, are past their retention.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        retention: Retention,
        now: SystemTime,
    ) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
        let before = |length| now.checked_sub(length).unwrap_or(SystemTime::UNIX_EPOCH);
        let messages = self.messages.find(conn, micros(before(retention.message)))?;
        let bodies = self.bodies.find(conn, micros(before(retention.body)))?;
        Ok((bodies, messages))
    }
}

impl Mark {
    fn find(&mut self, conn: &Connection, limit: i64) -> rusqlite::Result<Vec<i64>> {
        let mut found = Vec::new();
        let again: Vec<i64> = self.later.iter().copied().collect();
        for row in again {
            match finished_at(conn, row)? {
                Some(at) if at > limit => {}
                Some(_) => {
                    self.later.remove(&row);
                    found.push(row);
                }
                None if exists(conn, row)? => {}
                None => {
                    self.later.remove(&row);
                }
            }
            if found.len() >= STEP {
                return Ok(found);
            }
        }
        const SQL: &str =
            "SELECT row, accepted_at FROM messages WHERE row > ?1 ORDER BY row LIMIT ?2";
        let mut statement = conn.prepare_cached(SQL)?;
        let mut rows = statement.query(params![self.last, STEP as i64])?;
        while let Some(row) = rows.next()? {
            let (row, accepted_at): (i64, i64) = (row.get(0)?, row.get(1)?);
            if accepted_at > limit {
                break;
            }
            self.last = row;
            if finished_at(conn, row)?.is_some_and(|at| at <= limit) {
                found.push(row);
            } else {
                self.later.insert(row);
            }
        }
        Ok(found)
    }
}

/// When a message came to its final state; none where it has not.
fn finished_at(conn: &Connection, row: i64) -> rusqlite::Result<Option<i64>> {
    const SQL: &str =
        "SELECT min(state), max(changed_at) FROM deliveries WHERE key BETWEEN ?1 AND ?2";
    conn.prepare_cached(SQL)?.query_row(params![key_of(row, 0), key_of(row + 1, 0) - 1], |row| {
        let state: Option<i64> = row.get(0)?;
        if state.is_some_and(|state| state >= codes::FINAL) { row.get(1) } else { Ok(None) }
    })
}

fn exists(conn: &Connection, row: i64) -> rusqlite::Result<bool> {
    let found = conn
        .prepare_cached("SELECT 1 FROM messages WHERE row = ?1")?
        .query_row([row], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}
