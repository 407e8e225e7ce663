//! Evidence that comes late, and what it does to leases.

use std::time::SystemTime;

use shivneri_core::{AttemptId, DeliveryId, Outcome, Transition};

use super::book::Book;
use crate::{
    Amended, SpoolError,
    model::{
        End, Part, Try,
        heirs::{self, Heir, has_heirs},
        message::Late,
        queue::key_of,
    },
};

impl Book {
    pub(super) fn amend(
        &mut self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<Amended, SpoolError> {
        let unsettled = |one: &Try| one.attempt.id == attempt && one.is_unsettled();
        let found = self.messages.values().find(|message| message.tries.iter().any(unsettled));
        let Some(message) = found else { return Ok(Amended::Unchanged) };
        let Some(one) = message.tries.iter().find(|one| unsettled(one)).cloned() else {
            return Ok(Amended::Unchanged);
        };
        let end = End::of(outcome, now);
        if one.end.is_some() && end.is_in_doubt() {
            return Ok(Amended::Unchanged);
        }
        let (row, before) = (message.row, message.parts.clone());
        let mut after = before.clone();
        let delivery = one.attempt.delivery;
        let doubled = end.is_double_of(&one.attempt, message.tries_of(delivery));
        let Some(at) = after.iter().position(|part| part.id == delivery) else {
            return Ok(Amended::Unchanged);
        };
        let key = key_of(row, after[at].number);
        let late = Late {
            number: one.attempt.number,
            was_open: one.end.is_none(),
            other_open: self.queue.open(delivery).is_some_and(|open| open != attempt),
            gone: message.email.is_none(),
            provider: &one.attempt.provider,
        };
        let parent = after[at].number;
        let heirs_of = |one: &Try, parts: &[Part]| -> Vec<Heir> {
            let heir = |(place, part): (usize, &Part)| {
                let is_open = self.queue.open(part.id).is_some();
                let own = message.tries_of(part.id);
                Heir::find(place, part, parent, &one.attempt, own, is_open)
            };
            parts.iter().enumerate().filter(|_| has_heirs(one)).filter_map(heir).collect()
        };
        let heirs = heirs_of(&one, &after);
        if after[at].can_not_take(&late, outcome)
            || heirs::can_not_take(&heirs, &after, &late, outcome)
        {
            return Err(SpoolError::AttemptOpen(delivery));
        }
        let settled = self.same_in_doubt(key, &one.attempt, &end);
        for same in &settled {
            heirs::settle(&heirs_of(same, &after), &mut after);
            after[at].settle_doubt(same.attempt.number);
        }
        self.confirmed_duplicates += u64::from(doubled);
        after[at].resent |= one.attempt.possible_duplicate;
        let next_number = after.len() as u16;
        let (split, moved) = after[at].amend(&late, outcome, transition, next_number, now);
        after.extend(split);
        let (mut woken, again) = heirs::amend(&heirs, &mut after, &late, outcome, transition, now);
        self.confirmed_duplicates += again;
        woken.extend(moved.then_some(delivery));
        for same in settled {
            self.close(key, same.attempt.id, end.clone());
        }
        self.close(key, attempt, end);
        self.rewrite(row, &before, after.clone(), now);
        self.follow(row, &before, &after, &woken, Some(attempt));
        Ok(if moved { Amended::Moved } else { Amended::Closed })
    }

    pub(super) fn clear_up(
        &mut self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<Amended, SpoolError> {
        let is_this = |one: &&Try| one.attempt.id == attempt;
        let mut tries = self.messages.values().flat_map(|message| &message.tries);
        let delivery = tries.find(is_this).map(|one| one.attempt.delivery);
        let amended = self.amend(attempt, outcome, transition, now)?;
        // Whoever has it leased is done with it.
        if let Some(lease) = delivery.and_then(|id| self.queue.end_outdated(id)) {
            self.push(lease.lane, lease.part.due, lease.key);
        }
        Ok(amended)
    }

    /// Brings leases and waiting deliveries in line with parts changed from outside a lease.
    pub(super) fn follow(
        &mut self,
        row: i64,
        before: &[Part],
        after: &[Part],
        woken: &[DeliveryId],
        closed: Option<AttemptId>,
    ) {
        let Some(lane) = self.messages.get(&row).map(|message| message.lane) else { return };
        for part in after {
            let key = key_of(row, part.number);
            let revived = |old: &Part| {
                old.number == part.number && (old.state.is_final() == part.state.is_final())
            };
            let wakes = woken.contains(&part.id) || !before.iter().any(revived);
            let Some(lease) = self.queue.leased(part.id) else {
                if wakes && !part.state.is_final() {
                    self.push(lane, part.due, key);
                }
                continue;
            };
            if closed.is_some() && lease.open == closed {
                self.queue.end(part.id);
                self.push(lane, part.due, key);
            } else if !part.state.is_final() {
                let (attempts, resent) = (lease.part.attempts, lease.part.resent);
                lease.part = Part { attempts, resent, ..part.clone() };
                let changed = woken.contains(&part.id) || !before.contains(part);
                lease.outdated |= changed && lease.open.is_none();
            } else if lease.open.is_some() {
                lease.settled = true;
            } else {
                self.queue.end(part.id);
            }
        }
    }
}
