//! An attempt's begin and end, and the delivery's way with it.

use std::time::SystemTime;

use shivneri_core::{Attempt, DeliveryId, MessageId, Outcome, Transition};

use super::{Ledger, Trouble, standing};
use crate::{
    SpoolError, Status,
    model::{End, Lease, pause, queue::PART_BITS, tries},
    sqlite::{codes, rows},
};

impl Ledger<'_> {
    pub(in crate::sqlite) fn begin(&mut self, attempt: &Attempt) -> Result<(), Trouble> {
        self.check_epoch(attempt)?;
        let delivery = attempt.delivery;
        self.refuse_outdated(delivery)?;
        let (key, was_scheduled) = {
            let mut queue = self.shared.queue();
            let lease = queue.leased(delivery).filter(|lease| !lease.settled);
            let lease = lease.ok_or(SpoolError::UnknownDelivery(delivery))?;
            if lease.open.is_some() {
                return Err(SpoolError::AttemptOpen(delivery).into());
            }
            if attempt.number <= lease.part.attempts {
                let reason = format!("attempt {} of {delivery} was made before", attempt.number);
                return Err(SpoolError::Write { reason }.into());
            }
            // Marked at once, so that a second one in the same group is refused.
            lease.open = Some(attempt.id);
            lease.part.attempts = attempt.number;
            lease.part.resent |= attempt.possible_duplicate;
            let before = std::mem::replace(&mut lease.part.state, Status::Queued);
            (lease.key, before == Status::Scheduled)
        };
        rows::insert_try(self.conn, key, attempt)?;
        if was_scheduled {
            rows::unschedule(self.conn, key)?;
        }
        self.tally.possible_duplicates += u64::from(attempt.may_double());
        Ok(())
    }

    pub(in crate::sqlite) fn end(
        &mut self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        self.check_epoch(attempt)?;
        let unknown = SpoolError::UnknownAttempt(attempt.id);
        let mut queue = self.shared.queue();
        let lease = queue.leased(attempt.delivery).filter(|lease| lease.open == Some(attempt.id));
        let mut lease = lease.ok_or(unknown)?.clone();
        drop(queue);
        let end = End::of(outcome, now);
        rows::close_try(self.conn, lease.key, attempt.number.into(), &end)?;
        if let Some(until) = pause::asked_for(outcome, now) {
            self.keep_pause(attempt.provider.as_str(), until, now)?;
        }
        lease.open = None;
        lease.part.provider = Some(attempt.provider.clone());
        let mut settled = Vec::new();
        if end.past.is_none() && (lease.settled || lease.part.all_doubts() > 0) {
            settled = self.accepted_after_others(&lease, attempt, &end)?;
        }
        let doubts = u32::from(end.is_in_doubt());
        self.carry(lease, Some((outcome, doubts, settled)), transition, attempt.message, now)
    }

    /// Brings an acceptance together with what else was tried for its delivery: a second mail, or the
    /// answer to what is in doubt. The numbers of the attempts that are in doubt no more by it.
    fn accepted_after_others(
        &mut self,
        lease: &Lease,
        attempt: &Attempt,
        end: &End,
    ) -> Result<Vec<u32>, Trouble> {
        let row = lease.key >> PART_BITS;
        let tries = match rows::tries(self.conn, row, attempt.message, &lease.part) {
            Ok(tries) => tries,
            // Nobody can tell what else was tried.
            Err(error) if codes::is_damage(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if lease.settled {
            self.tally.confirmed_duplicates += u64::from(end.is_taken_again(attempt, &tries));
        }
        let same = tries::same_in_doubt(attempt, &tries).map(|same| same.attempt.number);
        let same: Vec<u32> = same.collect();
        for number in &same {
            rows::close_try(self.conn, lease.key, (*number).into(), end)?;
        }
        Ok(same)
    }

    pub(in crate::sqlite) fn settle(
        &mut self,
        delivery: DeliveryId,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        self.refuse_outdated(delivery)?;
        let mut queue = self.shared.queue();
        let lease = queue.leased(delivery).ok_or(SpoolError::UnknownDelivery(delivery))?;
        if lease.open.is_some() {
            return Err(SpoolError::AttemptOpen(delivery).into());
        }
        let lease = lease.clone();
        drop(queue);
        let message = self.message_of(&lease)?;
        self.carry(lease, None, transition, message, now)
    }

    /// Moves a leased delivery, and ends its lease unless it goes on at once.
    fn carry(
        &mut self,
        mut lease: Lease,
        ended: Option<(&Outcome, u32, Vec<u32>)>,
        transition: &Transition,
        message: MessageId,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let row = lease.key >> PART_BITS;
        let lane = self.shared.lanes.ids[lease.lane];
        if lease.settled {
            // Late evidence has decided it meanwhile; only the attempt's own end was missing.
            let (attempts, resent) = (lease.part.attempts, lease.part.resent);
            rows::keep_number(self.conn, lease.key, attempts, resent)?;
            self.shared.queue().end_changed(lease.part.id);
            return Ok(());
        }
        // Only a message's single part goes by the message's own recipients.
        let others = if lease.alone {
            Vec::new()
        } else {
            let keys = rows::keys(self.conn, row)?;
            let others = keys.into_iter().filter(|key| *key != lease.key);
            self.parts_at(others, message, None, now)?
        };
        let mut parts = others.clone();
        parts.push(lease.part.clone());
        let before = standing(&parts);
        let outcome = ended.map(|(outcome, doubts, settled)| {
            lease.part.doubts += doubts;
            settled.into_iter().for_each(|number| lease.part.settle_doubt(number));
            outcome
        });
        let next_number = parts.iter().map(|part| part.number).max().map_or(0, |last| last + 1);
        let split = lease.part.apply(outcome, transition, next_number, now);
        parts = others;
        parts.push(lease.part.clone());
        parts.extend(split.iter().cloned());
        let trail = self.shift(row, lane, before, standing(&parts), now)?;
        let trail = trail.as_ref().map(|bytes| bytes.as_slice());
        let own = if lease.part.number == 0 { trail } else { None };
        rows::update_part(self.conn, row, &lease.part, own)?;
        if let Some(trail) = trail.filter(|_| lease.part.number > 0) {
            rows::add_to_trail(self.conn, row, trail)?;
        }
        for part in &split {
            rows::insert_part(self.conn, row, lane, part)?;
            self.wait(lease.lane, row, part);
        }
        lease.alone &= split.is_empty();
        if lease.part.stays_leased(transition) {
            self.shared.queue().renew(lease);
        } else {
            self.wait(lease.lane, row, &lease.part);
            self.shared.queue().end_changed(lease.part.id);
        }
        Ok(())
    }

    /// Ends a lease that late evidence has outdated: the delivery is due again as the evidence
    /// says, and whoever leases it then knows of it.
    fn refuse_outdated(&mut self, delivery: DeliveryId) -> Result<(), SpoolError> {
        let ended = self.shared.queue().end_outdated(delivery);
        let Some(lease) = ended else { return Ok(()) };
        self.wait(lease.lane, lease.key >> PART_BITS, &lease.part);
        Err(SpoolError::UnknownDelivery(delivery))
    }

    fn message_of(&self, lease: &Lease) -> Result<MessageId, Trouble> {
        if lease.part.number == 0 {
            return Ok(MessageId::from_uuid(*lease.part.id.as_uuid()));
        }
        match rows::message_id(self.conn, lease.key >> PART_BITS) {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(SpoolError::UnknownDelivery(lease.part.id).into()),
            Err(error) if codes::is_damage(&error) => {
                Err(SpoolError::Write { reason: error.to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_epoch(&self, attempt: &Attempt) -> Result<(), SpoolError> {
        if attempt.epoch == self.shared.epoch {
            Ok(())
        } else {
            Err(SpoolError::StaleEpoch { theirs: attempt.epoch, ours: self.shared.epoch })
        }
    }
}
