//! An attempt's begin and end, and the delivery's way with it.

use std::time::SystemTime;

use shivneri_core::{Attempt, DeliveryId, MessageId, Outcome, Transition};

use super::{Ledger, Trouble, standing};
use crate::{
    SpoolError, Status,
    model::{End, Lease, queue::PART_BITS},
    sqlite::rows,
};

impl Ledger<'_> {
    pub(in crate::sqlite) fn begin(&mut self, attempt: &Attempt) -> Result<(), Trouble> {
        self.check_epoch(attempt)?;
        let delivery = attempt.delivery;
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
        self.tally.possible_duplicates += u64::from(attempt.possible_duplicate);
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
        rows::close_try(self.conn, lease.key, attempt.number, &end)?;
        lease.open = None;
        lease.part.provider = Some(attempt.provider.clone());
        let doubts = u32::from(end.is_in_doubt());
        self.carry(lease, Some((outcome, doubts)), transition, attempt.message, now)
    }

    pub(in crate::sqlite) fn settle(
        &mut self,
        delivery: DeliveryId,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<(), Trouble> {
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
        ended: Option<(&Outcome, u32)>,
        transition: &Transition,
        message: MessageId,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let row = lease.key >> PART_BITS;
        let lane = self.shared.lanes.ids[lease.lane];
        if lease.settled {
            // Late evidence has decided it meanwhile; only the attempt's own end was missing.
            self.close_settled(&lease, message)?;
            self.shared.queue().end(lease.part.id);
            return Ok(());
        }
        let others = if lease.alone { Vec::new() } else { self.others(&lease, message)? };
        let mut parts = others.clone();
        parts.push(lease.part.clone());
        let before = standing(&parts);
        let outcome = ended.map(|(outcome, doubts)| {
            lease.part.doubts += doubts;
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
        if let (Some(first), Some(trail)) = (parts.iter().find(|part| part.number == 0), trail)
            && lease.part.number > 0
        {
            rows::update_part(self.conn, row, first, Some(trail))?;
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
            self.shared.queue().end(lease.part.id);
        }
        Ok(())
    }

    /// Keeps the latest attempt's number and provider of a part that was settled while it ran.
    fn close_settled(&mut self, lease: &Lease, message: MessageId) -> Result<(), Trouble> {
        let row = lease.key >> PART_BITS;
        let parts = rows::parts(self.conn, row, message, &lease.part.recipients)?;
        let stored = parts.into_iter().find(|part| part.number == lease.part.number);
        let Some(mut part) = stored else { return Ok(()) };
        part.attempts = lease.part.attempts;
        part.resent = lease.part.resent;
        rows::update_part(self.conn, row, &part, None)?;
        Ok(())
    }

    /// A message's parts without the leased one.
    fn others(
        &self,
        lease: &Lease,
        message: MessageId,
    ) -> Result<Vec<crate::model::Part>, Trouble> {
        let row = lease.key >> PART_BITS;
        // Only a message's single part goes by the message's own recipients, and here are several.
        let mut parts = rows::parts(self.conn, row, message, &[])?;
        parts.retain(|part| part.number != lease.part.number);
        Ok(parts)
    }

    fn message_of(&self, lease: &Lease) -> Result<MessageId, Trouble> {
        if lease.part.number == 0 {
            return Ok(MessageId::from_uuid(*lease.part.id.as_uuid()));
        }
        let message = rows::message_at(self.conn, lease.key >> PART_BITS)?;
        Ok(message.ok_or(SpoolError::UnknownDelivery(lease.part.id))?.id)
    }

    fn check_epoch(&self, attempt: &Attempt) -> Result<(), SpoolError> {
        if attempt.epoch == self.shared.epoch {
            Ok(())
        } else {
            Err(SpoolError::StaleEpoch { theirs: attempt.epoch, ours: self.shared.epoch })
        }
    }
}
