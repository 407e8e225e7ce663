//! What people and providers change from outside: cancel, requeue, erase, evidence.

use std::time::SystemTime;

use rusqlite::params;
use shivneri_core::MessageId;

use super::{Ledger, Trouble};
use crate::{
    Change, Duplicates, Evidence, Status,
    model::{
        Part, message,
        queue::{PART_BITS, key_of},
    },
    sqlite::{damaged, rows},
};

impl Ledger<'_> {
    pub(in crate::sqlite) fn cancel(
        &mut self,
        id: MessageId,
        now: SystemTime,
    ) -> Result<Change, Trouble> {
        self.change(id, now, |parts, open| message::cancel(parts, open, now))
    }

    pub(in crate::sqlite) fn observe(
        &mut self,
        evidence: &Evidence,
        now: SystemTime,
    ) -> Result<Change, Trouble> {
        self.change(evidence.message, now, |parts, _| message::observe(parts, evidence, now))
    }

    pub(in crate::sqlite) fn requeue(
        &mut self,
        id: MessageId,
        duplicates: Duplicates,
        now: SystemTime,
    ) -> Result<Change, Trouble> {
        let Some(row) = rows::message(self.conn, id)? else { return Ok(Change::NotFound) };
        if rows::body(self.conn, row.row)?.is_none() {
            return Ok(Change::Gone);
        }
        let Some(lane) = self.shared.lanes.index(row.lane) else {
            let reason = "its lane is no longer configured".to_owned();
            let status =
                self.load(id, now)?.map_or(Status::Damaged, |(_, parts)| message::class(&parts));
            return Ok(Change::Refused { status, reason });
        };
        let max_age = self.shared.lanes.rules[lane].max_age;
        self.change(id, now, |parts, open| message::requeue(parts, open, duplicates, max_age, now))
    }

    fn change(
        &mut self,
        id: MessageId,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<Part>, &dyn Fn(&Part) -> bool) -> Change,
    ) -> Result<Change, Trouble> {
        let Some((message, before)) = self.load(id, now)? else { return Ok(Change::NotFound) };
        let open: Vec<_> = {
            let queue = self.shared.queue();
            before.iter().filter(|part| queue.open(part.id).is_some()).map(|part| part.id).collect()
        };
        let mut after = before.clone();
        let done = change(&mut after, &|part| open.contains(&part.id));
        if done == Change::Done {
            self.rewrite(&message, &before, &after, now)?;
            self.follow(message.row, &before, &after, &[], None);
        }
        Ok(done)
    }

    pub(in crate::sqlite) fn erase(&mut self, id: MessageId) -> Result<Change, Trouble> {
        let now = self.shared.clock.now();
        // Also what is damaged is erased, by the id that it is listed under.
        let found = damaged::message(self.conn, id)?;
        let Some(message) = found else { return Ok(Change::NotFound) };
        let parts = self.parts_of(&message, now)?;
        let is_open = |part: &Part| self.shared.queue().open(part.id).is_some();
        // By its row, since a part may go by an id that can't be read.
        let of_it = |(key, _): (i64, usize)| key >> PART_BITS == message.row;
        if self.shared.queue().all_open().any(of_it) {
            let status = message::face(&parts, is_open, now).status;
            let reason = "an attempt is under way".to_owned();
            return Ok(Change::Refused { status, reason });
        }
        self.delete(message.row, message.lane, &parts)?;
        Ok(Change::Done)
    }

    /// Deletes a message with all its rows.
    pub(super) fn delete(&mut self, row: i64, lane: i64, parts: &[Part]) -> Result<(), Trouble> {
        let (first, last) = (key_of(row, 0), key_of(row + 1, 0) - 1);
        // By the rows, since a part that can't be read may hold doubts too.
        let doubts = self.bare_doubts(first, last)?;
        for sql in [
            "DELETE FROM attempts WHERE delivery BETWEEN ?1 AND ?2",
            "DELETE FROM deliveries WHERE key BETWEEN ?1 AND ?2",
        ] {
            self.conn.prepare_cached(sql)?.execute(params![first, last])?;
        }
        for sql in ["DELETE FROM bodies WHERE message = ?1", "DELETE FROM messages WHERE row = ?1"]
        {
            self.conn.prepare_cached(sql)?.execute([row])?;
        }
        self.tally.doubtful = self.tally.doubtful.saturating_sub(doubts);
        self.tally.take(lane, message::class(parts));
        self.tally.purged += 1;
        let mut queue = self.shared.queue();
        for part in parts {
            queue.end(part.id);
            queue.change(key_of(row, part.number));
        }
        Ok(())
    }
}
