//! Evidence that comes late: after its attempt was given up, or after a restart.

use std::time::SystemTime;

use shivneri_core::{AttemptId, DeliveryId, Outcome, Transition};

use super::{Ledger, Trouble};
use crate::{
    Amended, SpoolError,
    model::{
        End, Part, Try,
        heirs::{self, Heir, has_heirs},
        message::Late,
        queue::{PART_BITS, key_of},
        tries,
    },
    sqlite::{
        codes,
        rows::{self, MessageRow},
    },
};

impl Ledger<'_> {
    pub(in crate::sqlite) fn amend(
        &mut self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<Amended, Trouble> {
        let Some(which) = rows::unsettled_try(self.conn, attempt)? else {
            return Ok(Amended::Unchanged);
        };
        let end = End::of(outcome, now);
        if !which.is_open && end.is_in_doubt() {
            return Ok(Amended::Unchanged);
        }
        let (message, _, tries) = match rows::of_attempt(self.conn, which.key) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Amended::Unchanged),
            Err(error) if codes::is_damage(&error) => {
                self.end_damaged(Some(attempt), which, &end, &error.to_string(), now)?;
                return Ok(Amended::Closed);
            }
            Err(error) => return Err(error.into()),
        };
        let before = self.parts_of(&message, now)?;
        let part_number = (which.key & ((1 << PART_BITS) - 1)) as u16;
        let mut after = before.clone();
        let Some(at) = after.iter().position(|part| part.number == part_number) else {
            return Ok(Amended::Unchanged);
        };
        let Some(one) = tries.iter().find(|one| one.attempt.id == attempt) else {
            return Ok(Amended::Unchanged);
        };
        let delivery = after[at].id;
        let open = self.shared.queue().open(delivery);
        let late = Late {
            number: one.attempt.number,
            was_open: one.end.is_none(),
            other_open: open.is_some_and(|open| open != attempt),
            gone: rows::body(self.conn, message.row)?.is_none(),
            provider: &one.attempt.provider,
        };
        let heirs = self.heirs(&message, &after, part_number, one)?;
        if after[at].can_not_take(&late, outcome)
            || heirs::can_not_take(&heirs, &after, &late, outcome)
        {
            return Err(SpoolError::AttemptOpen(delivery).into());
        }
        self.tally.confirmed_duplicates += u64::from(end.is_double_of(&one.attempt, &tries));
        rows::close_try(self.conn, which.key, which.number, &end)?;
        if end.past.is_none() {
            for same in tries::same_in_doubt(&one.attempt, &tries) {
                let inherited = self.heirs(&message, &after, part_number, same)?;
                heirs::settle(&inherited, &mut after);
                after[at].settle_doubt(same.attempt.number);
                rows::close_try(self.conn, which.key, same.attempt.number.into(), &end)?;
            }
        }
        // The lease that knew it may have ended with the process before.
        after[at].resent |= one.attempt.possible_duplicate;
        let next_number = after.len() as u16;
        let (split, moved) = after[at].amend(&late, outcome, transition, next_number, now);
        after.extend(split);
        let (mut woken, doubled) =
            heirs::amend(&heirs, &mut after, &late, outcome, transition, now);
        self.tally.confirmed_duplicates += doubled;
        woken.extend(moved.then_some(delivery));
        self.rewrite(&message, &before, &after, now)?;
        self.follow(message.row, &before, &after, &woken, Some(attempt));
        Ok(if moved { Amended::Moved } else { Amended::Closed })
    }

    /// The parts that inherited the doubt of an attempt.
    fn heirs(
        &self,
        message: &MessageRow,
        parts: &[Part],
        parent: u16,
        one: &Try,
    ) -> Result<Vec<Heir>, Trouble> {
        let mut heirs = Vec::new();
        if parts.len() == 1 || !has_heirs(one) {
            return Ok(heirs);
        }
        for (at, part) in parts.iter().enumerate() {
            let own = match rows::tries(self.conn, message.row, message.id, part) {
                // Nobody can tell what it inherited.
                Err(error) if codes::is_damage(&error) => continue,
                own => own?,
            };
            let is_open = self.shared.queue().open(part.id).is_some();
            heirs.extend(Heir::find(at, part, parent, &one.attempt, &own, is_open));
        }
        Ok(heirs)
    }

    /// The same by whoever has its delivery leased, and is done with it then: where it was not
    /// ended by the evidence, it is due again as that says.
    pub(in crate::sqlite) fn clear_up(
        &mut self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<Amended, Trouble> {
        let Some(which) = rows::unsettled_try(self.conn, attempt)? else {
            return Ok(Amended::Unchanged);
        };
        let amended = self.amend(attempt, outcome, transition, now)?;
        let ended = self.shared.queue().end_outdated_at(which.key);
        if let Some(lease) = ended {
            self.wait(lease.lane, lease.key >> PART_BITS, &lease.part);
        }
        Ok(amended)
    }

    /// Brings leases and waiting deliveries in line with parts that were changed from outside
    /// their lease. A lease without an open attempt is outdated by it: what its holder decides on
    /// no longer holds. Those `woken` wait for their new due time; `closed` is the attempt that was closed.
    pub(super) fn follow(
        &mut self,
        row: i64,
        before: &[Part],
        after: &[Part],
        woken: &[DeliveryId],
        closed: Option<AttemptId>,
    ) {
        for part in after {
            let same = |old: &Part| {
                old.number == part.number && old.state.is_final() == part.state.is_final()
            };
            let wakes = woken.contains(&part.id) || !before.iter().any(same);
            let changed = woken.contains(&part.id) || !before.contains(part);
            let mut queue = self.shared.queue();
            // Leased or not: a lease that ends before the commit must not be made anew from what
            // its row said before.
            queue.change(key_of(row, part.number));
            let Some(lease) = queue.leased(part.id) else {
                drop(queue);
                if let (true, Some(lane)) = (wakes, self.lane_of(row)) {
                    self.wait(lane, row, part);
                }
                continue;
            };
            if closed.is_some() && lease.open == closed {
                let lane = lease.lane;
                queue.end(part.id);
                drop(queue);
                self.wait(lane, row, part);
            } else if !part.state.is_final() {
                let (attempts, resent) = (lease.part.attempts, lease.part.resent);
                lease.part = Part { attempts, resent, ..part.clone() };
                lease.alone = after.len() == 1;
                lease.outdated |= changed && lease.open.is_none();
            } else if lease.open.is_some() {
                lease.settled = true;
            } else {
                queue.end(part.id);
            }
        }
    }

    /// The lane of a message, as the queue counts lanes; none where it is no longer configured.
    fn lane_of(&self, row: i64) -> Option<usize> {
        let message = rows::message_at(self.conn, row).ok().flatten()?;
        self.shared.lanes.index(message.lane)
    }
}
