//! Records that can't be read: each is set aside alone, and whoever stands beside it goes on.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, params};
use shivneri_core::{AttemptId, DeliveryId, EmailAddress, MessageId};

use super::{Ledger, TRAIL, Trouble, trail};
use crate::{
    Status,
    model::{
        End, Part,
        message::Face,
        queue::{PART_BITS, key_of, micros},
    },
    sqlite::{
        codes,
        rows::{self, MessageRow, Unsettled},
    },
};

/// The low bits of a key: the part's number.
const NUMBER: i64 = (1 << PART_BITS) - 1;

impl Ledger<'_> {
    /// Every part of a message. One that can't be read is set aside, and stands among them as
    /// damaged.
    pub(in crate::sqlite) fn parts_of(
        &mut self,
        message: &MessageRow,
        now: SystemTime,
    ) -> Result<Vec<Part>, Trouble> {
        let keys = rows::keys(self.conn, message.row)?;
        self.parts_at(keys, message.id, Some(message), now)
    }

    /// The same for some parts. One that goes by the message's own recipients needs its row.
    pub(super) fn parts_at(
        &mut self,
        keys: impl IntoIterator<Item = i64>,
        id: MessageId,
        message: Option<&MessageRow>,
        now: SystemTime,
    ) -> Result<Vec<Part>, Trouble> {
        let mut parts = Vec::new();
        for key in keys {
            match rows::part_of(self.conn, key, id, message) {
                Ok(part) => parts.extend(part),
                Err(error) if codes::is_damage(&error) => {
                    tracing::error!(key, %error, "a delivery's record is damaged and set aside");
                    self.set_aside(key, &error.to_string(), now)?;
                    let (nobody, number) = (Vec::<EmailAddress>::new(), (key & NUMBER) as u16);
                    let part = Part::first(DeliveryId::new(), nobody, now, now, now);
                    parts.push(Part { number, state: Status::Damaged, ..part });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(parts)
    }

    /// Sets a delivery aside whose record can't be read. Works on bare states, since the rest of
    /// the row may be what is damaged.
    pub(in crate::sqlite) fn set_aside(
        &mut self,
        key: i64,
        reason: &str,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let row = key >> PART_BITS;
        let (before, lane) = self.bare_states(row)?;
        let Some(lane) = lane else { return Ok(()) };
        self.shared.queue().change(key);
        const SQL: &str = "UPDATE deliveries SET state = ?2, reason = ?3, changed_at = ?4 \
             WHERE key = ?1 AND state <> ?2";
        self.conn.prepare_cached(SQL)?.execute(params![
            key,
            codes::of_status(Status::Damaged),
            reason,
            micros(now),
        ])?;
        let (after, _) = self.bare_states(row)?;
        if before != after {
            self.tally.take(lane, before);
            self.tally.add(lane, after);
            let face = Face { status: after, in_doubt: false };
            self.event(row, face, now)?;
            rows::add_to_trail(self.conn, row, &trail(face, now))?;
        }
        Ok(())
    }

    /// Ends an attempt whose own record, or that of its part or message, can't be read: nothing
    /// can follow from its end, so its part is set aside, unless that had its own end before.
    pub(in crate::sqlite) fn end_damaged(
        &mut self,
        attempt: Option<AttemptId>,
        which: Unsettled,
        end: &End,
        reason: &str,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let Unsettled { key, number, is_open } = which;
        tracing::error!(
            key,
            number,
            reason,
            "an attempt's record is damaged; its part is set aside"
        );
        rows::close_try(self.conn, key, number, end)?;
        let doubts = i64::from(end.is_in_doubt()) - i64::from(!is_open);
        let before = self.bare_doubts(key, key)?;
        self.move_doubts(which, doubts)?;
        let after = self.bare_doubts(key, key)?;
        self.tally.doubtful = (self.tally.doubtful + after).saturating_sub(before);
        self.shared.queue().settle(key, attempt);
        if !self.has_certain_end(key)? {
            self.set_aside(key, reason, now)?;
        }
        Ok(())
    }

    /// The doubts in these parts' rows that count: of mail that no provider has taken for certain.
    /// What no number of doubts can be counts as none.
    pub(super) fn bare_doubts(&self, first: i64, last: i64) -> Result<u64, Trouble> {
        const SQL: &str = "SELECT coalesce(sum(doubts + overruled), 0) FROM deliveries \
             WHERE key BETWEEN ?1 AND ?2 AND state NOT IN (10, 11, 17, 18) \
             AND doubts BETWEEN 0 AND 4294967295 AND overruled BETWEEN 0 AND 4294967295";
        let sum: i64 = self.conn.prepare_cached(SQL)?.query_row([first, last], |row| row.get(0))?;
        Ok(sum.unsigned_abs())
    }

    /// Adds to the doubts of a part that can't be read, or to those that a person has overruled.
    fn move_doubts(&self, which: Unsettled, by: i64) -> Result<(), Trouble> {
        const SQL: &str = "UPDATE deliveries SET \
             doubts = doubts + iif(?2 BETWEEN 1 AND forgiven, 0, max(?3, -doubts)), \
             overruled = overruled + iif(?2 BETWEEN 1 AND forgiven, max(?3, -overruled), 0) \
             WHERE key = ?1 AND doubts BETWEEN 0 AND 4294967294 \
             AND overruled BETWEEN 0 AND 4294967294";
        self.conn.prepare_cached(SQL)?.execute(params![which.key, which.number, by])?;
        Ok(())
    }

    fn has_certain_end(&self, key: i64) -> Result<bool, Trouble> {
        let state: Option<i64> = self
            .conn
            .prepare_cached("SELECT state FROM deliveries WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        let state = state.map(codes::status);
        let state = state.and_then(Result::ok);
        Ok(state.is_some_and(|state| state.is_final() && state != Status::InDoubt))
    }

    fn bare_states(&self, row: i64) -> Result<(Status, Option<i64>), Trouble> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT state, lane FROM deliveries WHERE key BETWEEN ?1 AND ?2")?;
        let mut found = statement.query(params![key_of(row, 0), key_of(row + 1, 0) - 1])?;
        let (mut states, mut lane) = (Vec::new(), None);
        while let Some(found) = found.next()? {
            let code: i64 = found.get(0)?;
            states.push(match codes::status(code) {
                Ok(state) if state.is_final() => state,
                Ok(_) => Status::Queued,
                // Whatever the part was, the message was counted by what it showed last.
                Err(_) => return Ok((self.shown_last(row)?, Some(found.get(1)?))),
            });
            lane = Some(found.get(1)?);
        }
        Ok((Status::of(states).unwrap_or(Status::Damaged), lane))
    }

    /// The class of a message by the last entry of its trail.
    fn shown_last(&self, row: i64) -> Result<Status, Trouble> {
        const SQL: &str = "SELECT trail FROM deliveries WHERE key = ?1";
        let trail: Option<Option<Vec<u8>>> = self
            .conn
            .prepare_cached(SQL)?
            .query_row([key_of(row, 0)], |row| row.get(0))
            .optional()?;
        let trail = trail.flatten().unwrap_or_default();
        let last = trail.as_chunks::<TRAIL>().0.last();
        let status = last.and_then(|entry| codes::status(i64::from(entry[0])).ok());
        Ok(status.filter(|status| status.is_final()).unwrap_or(Status::Queued))
    }
}
