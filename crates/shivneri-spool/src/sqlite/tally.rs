//! Counters that are committed with what they count.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::codes;
use crate::Status;

/// The counters, as of the last commit and what the present group adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) purged: u64,
    /// Attempts ever begun while an earlier one was in doubt.
    pub(super) possible_duplicates: u64,
    /// Mail known to have been taken twice.
    pub(super) confirmed_duplicates: u64,
    /// Attempts in doubt that nothing has settled.
    pub(super) doubtful: u64,
    /// The last event's sequence number.
    pub(super) events: u64,
    /// The last message's row.
    pub(super) messages: u64,
    /// Messages by lane and class.
    pub(super) counts: BTreeMap<(i64, Status), u64>,
}

impl Tally {
    fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("accepted", self.accepted),
            ("purged", self.purged),
            ("possible_duplicates", self.possible_duplicates),
            ("confirmed_duplicates", self.confirmed_duplicates),
            ("doubtful", self.doubtful),
            ("events", self.events),
            ("messages", self.messages),
        ]
    }

    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut counts = BTreeMap::new();
        let mut statement = conn.prepare("SELECT lane, status, messages FROM counts")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let messages: i64 = row.get(2)?;
            counts.insert((row.get(0)?, codes::status(row.get(1)?)?), messages as u64);
        }
        let meta = |name| read_meta(conn, name).map(|value| value.unwrap_or_default() as u64);
        Ok(Self {
            accepted: meta("accepted")?,
            purged: meta("purged")?,
            possible_duplicates: meta("possible_duplicates")?,
            confirmed_duplicates: meta("confirmed_duplicates")?,
            doubtful: meta("doubtful")?,
            events: meta("events")?,
            messages: meta("messages")?,
            counts,
        })
    }

    /// Writes what differs from `before`.
    pub(super) fn store(&self, before: &Self, conn: &Connection) -> rusqlite::Result<()> {
        for ((name, now), (_, then)) in self.named().into_iter().zip(before.named()) {
            if now != then {
                write_meta(conn, name, now as i64)?;
            }
        }
        for ((lane, status), messages) in &self.counts {
            if before.counts.get(&(*lane, *status)) != Some(messages) {
                const SQL: &str = "INSERT INTO counts (lane, status, messages) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (lane, status) DO UPDATE SET messages = excluded.messages";
                conn.prepare_cached(SQL)?.execute(params![
                    lane,
                    codes::of_status(*status),
                    *messages as i64
                ])?;
            }
        }
        Ok(())
    }

    /// Messages that are not finished.
    pub(super) fn unfinished(&self) -> u64 {
        self.counts
            .iter()
            .filter(|((_, status), _)| !status.is_final())
            .map(|(_, messages)| messages)
            .sum()
    }

    pub(super) fn add(&mut self, lane: i64, class: Status) {
        *self.counts.entry((lane, class)).or_default() += 1;
    }

    pub(super) fn take(&mut self, lane: i64, class: Status) {
        let count = self.counts.entry((lane, class)).or_default();
        *count = count.saturating_sub(1);
    }
}

pub(super) fn read_meta(conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn write_meta(conn: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO meta (name, value) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    conn.prepare_cached(SQL)?.execute(params![name, value])?;
    Ok(())
}
