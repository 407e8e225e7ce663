//! Deleting what is past its retention, and the small records.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};
use shivneri_core::AgentId;

use super::{Ledger, Trouble};
use crate::{
    Shelf,
    model::{pause, queue::micros},
    sqlite::{codes, keys, rows},
};

/// Events looked at in one step.
const EVENTS: i64 = 4096;

impl Ledger<'_> {
    /// Deletes a message's body, if it is still finished. Whether there was one.
    pub(in crate::sqlite) fn drop_body(&mut self, row: i64) -> Result<bool, Trouble> {
        const SQL: &str = "DELETE FROM bodies WHERE message = ?1 AND NOT EXISTS \
             (SELECT 1 FROM deliveries WHERE key BETWEEN ?1 << 12 AND (?1 << 12) + 4095 \
              AND state < 10)";
        Ok(self.conn.prepare_cached(SQL)?.execute([row])? > 0)
    }

    /// Deletes a whole message, if it is still finished. Whether it was there.
    pub(in crate::sqlite) fn drop_message(&mut self, row: i64) -> Result<bool, Trouble> {
        let Some(message) = rows::message_at(self.conn, row)? else { return Ok(false) };
        let parts =
            message.addresses().and_then(|all| rows::parts(self.conn, row, message.id, &all));
        let parts = match parts {
            Err(error) if codes::is_damage(&error) => {
                tracing::warn!(message = %message.id, %error, "a message's record is damaged; it is kept");
                return Ok(false);
            }
            other => other?,
        };
        if parts.iter().any(|part| !part.state.is_final()) {
            return Ok(false);
        }
        self.delete(row, message.lane, &parts)?;
        Ok(true)
    }

    /// Forgets events and idempotency keys that are older than a day.
    pub(in crate::sqlite) fn drop_old(&mut self, now: SystemTime) -> Result<bool, Trouble> {
        self.keys.drop_old(self.conn, now)?;
        let limit = micros(now) - micros(SystemTime::UNIX_EPOCH + keys::LIFE);
        const OLDEST: &str = "SELECT max(sequence) FROM \
             (SELECT sequence, at FROM events ORDER BY sequence LIMIT ?2) WHERE at < ?1";
        let last: Option<i64> =
            self.conn.prepare_cached(OLDEST)?.query_row([limit, EVENTS], |row| row.get(0))?;
        let Some(last) = last else { return Ok(false) };
        self.conn.prepare_cached("DELETE FROM events WHERE sequence <= ?1")?.execute([last])?;
        Ok(true)
    }

    /// How many of these deliveries are unfinished, and yet neither due, leased nor about to be.
    pub(in crate::sqlite) fn stranded(&self, suspects: &[i64]) -> Result<u64, Trouble> {
        let known = self.shared.queue().keys();
        let mut stranded = 0;
        for key in suspects {
            let state: Option<i64> = self
                .conn
                .prepare_cached("SELECT state FROM deliveries WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()?;
            let waits = known.contains(key) || self.due.iter().any(|due| due.key == *key);
            stranded += u64::from(state.is_some_and(|state| state < codes::FINAL) && !waits);
        }
        Ok(stranded)
    }

    pub(in crate::sqlite) fn put(
        &mut self,
        shelf: Shelf,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<bool, Trouble> {
        let removed = self
            .conn
            .prepare_cached("DELETE FROM shelves WHERE shelf = ?1 AND key = ?2")?
            .execute(params![shelf.as_str(), key])?;
        if let Some(value) = value {
            self.conn
                .prepare_cached("INSERT INTO shelves (shelf, key, value) VALUES (?1, ?2, ?3)")?
                .execute(params![shelf.as_str(), key, value])?;
        }
        Ok(removed > 0)
    }

    /// Keeps that a provider is to be left alone until then, unless it is for longer anyway.
    pub(super) fn keep_pause(
        &mut self,
        provider: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let kept: Option<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT value FROM shelves WHERE shelf = ?1 AND key = ?2")?
            .query_row([Shelf::Pauses.as_str(), provider], |row| row.get(0))
            .optional()?;
        if let Some(value) = pause::extended(kept.as_deref(), until, now) {
            self.put(Shelf::Pauses, provider, Some(&value))?;
        }
        Ok(())
    }

    pub(in crate::sqlite) fn next_generation(&mut self, agent: &AgentId) -> Result<u64, Trouble> {
        const SQL: &str = "INSERT INTO generations (agent, value) VALUES (?1, 1) \
             ON CONFLICT (agent) DO UPDATE SET value = value + 1 RETURNING value";
        let value: Option<i64> = self
            .conn
            .prepare_cached(SQL)?
            .query_row([agent.as_str()], |row| row.get(0))
            .optional()?;
        Ok(value.unwrap_or(1) as u64)
    }
}
