//! A message as the sum of its parts: what it shows, and what may be done to the whole.

use std::time::{Duration, SystemTime};

use shivneri_core::{DeliveryId, EmailAddress, Failure, Outcome, ProviderId, Transition};

use super::{Part, part::is_taken};
use crate::{Change, Duplicates, Evidence, Status, spool::Sighting};

/// What a message shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) status: Status,
    pub(crate) in_doubt: bool,
}

/// What the parts show together. `open` tells which have an open attempt.
pub(crate) fn face(parts: &[Part], open: impl Fn(&Part) -> bool, now: SystemTime) -> Face {
    let shown = parts.iter().map(|part| part.shown(open(part), now));
    Face {
        status: Status::of(shown).unwrap_or(Status::Damaged),
        in_doubt: parts.iter().any(Part::is_in_doubt),
    }
}

/// The class in which a message is counted: its final status, or `queued` for all that is not
/// finished.
pub(crate) fn class(parts: &[Part]) -> Status {
    let status = face(parts, |_| false, SystemTime::UNIX_EPOCH).status;
    if status.is_final() { status } else { Status::Queued }
}

/// Calls off every part that is not finished.
pub(crate) fn cancel(parts: &mut [Part], open: impl Fn(&Part) -> bool, now: SystemTime) -> Change {
    let status = face(parts, &open, now).status;
    let refused = |reason: &str| Change::Refused { status, reason: reason.to_owned() };
    if parts.iter().any(&open) {
        return refused("an attempt is under way");
    }
    if parts.iter().any(|part| !part.state.is_final() && part.is_in_doubt()) {
        return refused("it was perhaps sent");
    }
    if parts.iter().all(|part| part.state.is_final()) {
        return refused("it is finished");
    }
    for part in parts.iter_mut().filter(|part| !part.state.is_final()) {
        part.state = Status::Cancelled;
        part.reason = None;
        part.changed_at = now;
    }
    Change::Done
}

/// Queues again what has failed, with `max_age` before it. Of a part that a provider took, only
/// the recipients that bounced are asked for again, as a part of their own.
pub(crate) fn requeue(
    parts: &mut Vec<Part>,
    open: impl Fn(&Part) -> bool,
    duplicates: Duplicates,
    max_age: Duration,
    now: SystemTime,
) -> Change {
    let status = face(parts, &open, now).status;
    let refused = |reason: &str| Change::Refused { status, reason: reason.to_owned() };
    if parts.iter().any(open) {
        return refused("an attempt is under way");
    }
    if !parts.iter().any(|part| has_failed(part, now)) {
        return refused("nothing of it has failed");
    }
    let may = |part: &Part| {
        has_failed(part, now) && (duplicates == Duplicates::Accept || !part.is_in_doubt())
    };
    let mut next_number = parts.len() as u16;
    let mut revived = Vec::new();
    for part in parts.iter_mut().filter(|part| may(part)) {
        let has_bounced = |one: &&EmailAddress| part.recipient(one, part.state) == Status::Bounced;
        let bounced: Vec<_> = part.recipients.iter().filter(has_bounced).cloned().collect();
        if is_taken(part.state) && bounced.len() < part.recipients.len() {
            let stays = |one: &EmailAddress| !bounced.iter().any(|gone| gone.same_mailbox(one));
            let mut own = Part { id: DeliveryId::new(), number: next_number, ..part.clone() };
            next_number += 1;
            part.recipients.retain(stays);
            part.marks.retain(|(marked, _)| stays(marked));
            part.whole = false;
            own.recipients = bounced;
            own.whole = false;
            own.attempts = 0;
            revive(&mut own, max_age, now);
            revived.push(own);
        } else {
            revive(part, max_age, now);
        }
    }
    parts.append(&mut revived);
    let moved = parts.iter().any(|part| !part.state.is_final() && part.changed_at == now);
    if moved { Change::Done } else { refused("it was perhaps sent, and no second copy is allowed") }
}

fn has_failed(part: &Part, now: SystemTime) -> bool {
    match part.shown(false, now) {
        Status::Rejected
        | Status::Expired
        | Status::Cancelled
        | Status::Suppressed
        | Status::InDoubt
        | Status::Bounced => true,
        Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Accepted
        | Status::Delivered
        | Status::Complained
        | Status::Damaged => false,
    }
}

fn revive(part: &mut Part, max_age: Duration, now: SystemTime) {
    part.resent |= part.is_in_doubt();
    part.overruled = u32::try_from(part.open_doubts()).unwrap_or(u32::MAX);
    part.state = Status::Queued;
    part.due = now;
    part.deadline = now + max_age;
    part.forgiven = part.attempts;
    part.doubts = 0;
    part.asking = None;
    part.reason = None;
    part.marks.clear();
    part.changed_at = now;
}

/// Takes a provider's word about one recipient, or about all. Whether anything moved is told by
/// the parts.
pub(crate) fn observe(parts: &mut [Part], evidence: &Evidence, now: SystemTime) -> Change {
    let status = face(parts, |_| false, now).status;
    let concerns = |part: &Part| match &evidence.recipient {
        None => true,
        Some(address) => part.recipients.iter().any(|one| one.same_mailbox(address)),
    };
    let mut known = false;
    for part in parts.iter_mut().filter(|part| concerns(part)) {
        if !is_taken(part.state) && !part.is_in_doubt() {
            continue;
        }
        known = true;
        if !is_taken(part.state) {
            part.state = Status::Accepted;
            part.reason = None;
            part.changed_at = now;
        }
        let seen = evidence.sighting;
        match &evidence.recipient {
            Some(address) if part.recipients.len() > 1 => mark(part, address, seen, now),
            Some(_) | None => forward(part, seen, now),
        }
    }
    if known {
        Change::Done
    } else {
        let reason = "no provider has taken it".to_owned();
        Change::Refused { status, reason }
    }
}

/// An attempt that late evidence is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late<'a> {
    pub(crate) number: u32,
    /// It had not ended; otherwise it had ended in doubt.
    pub(crate) was_open: bool,
    /// Another attempt of the delivery is open now.
    pub(crate) other_open: bool,
    /// The message's body is past retention, so that it can't be sent any more.
    pub(crate) gone: bool,
    pub(crate) provider: &'a ProviderId,
}

impl Part {
    /// Whether late evidence has to come again: it would divide a part whose recipients are with
    /// another provider at this moment. Its attempt stays in doubt until that one has its end.
    pub(crate) fn can_not_take(&self, late: &Late<'_>, outcome: &Outcome) -> bool {
        late.other_open && names_some(outcome) && !self.state.is_final()
    }

    /// Takes late evidence; the parts that split off by it, and whether this one moved.
    pub(crate) fn amend(
        &mut self,
        late: &Late<'_>,
        outcome: &Outcome,
        transition: &Transition,
        next_number: u16,
        now: SystemTime,
    ) -> (Vec<Self>, bool) {
        let counts = late.number > self.forgiven;
        self.attempts = self.attempts.max(late.number);
        self.settle(late);
        let moves = match outcome {
            // That it went out holds whatever was decided since.
            Outcome::Accepted(_) => !self.state.is_final() || self.state == Status::InDoubt,
            Outcome::Failed(error) if matches!(error.failure(), Failure::InDoubt(_)) => {
                *self.doubts_of(late.number) += 1;
                counts && !self.state.is_final()
            }
            // That it did not go out moves only what waits for nothing else. What was given up in
            // doubt is in doubt no more: it was never sent, so this is not again.
            Outcome::Failed(_) => {
                let given_up = self.state == Status::InDoubt && !late.gone;
                let waits = !self.state.is_final() || given_up;
                // An attempt that a person has overruled was waited for by nobody.
                let settled = if counts { self.doubts == 0 } else { self.all_doubts() == 0 };
                waits && (counts || given_up) && settled && !late.other_open
            }
        };
        if !moves {
            return (Vec::new(), false);
        }
        self.provider = Some(late.provider.clone());
        (self.apply(Some(outcome), transition, next_number, now), true)
    }
}

impl Part {
    /// Takes the doubt away of an attempt that had ended in doubt.
    pub(crate) fn settle_doubt(&mut self, number: u32) {
        let doubts = self.doubts_of(number);
        *doubts = doubts.saturating_sub(1);
    }

    /// Takes the doubt away that the attempt had ended in, if it had.
    pub(super) fn settle(&mut self, late: &Late<'_>) {
        if !late.was_open {
            self.settle_doubt(late.number);
        }
    }

    /// The doubts among which an attempt of this number counts.
    fn doubts_of(&mut self, number: u32) -> &mut u32 {
        if number > self.forgiven { &mut self.doubts } else { &mut self.overruled }
    }
}

/// Whether it was accepted without some of its recipients.
fn names_some(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted(receipt) => !receipt.refused.is_empty() || !receipt.deferred.is_empty(),
        Outcome::Failed(_) => false,
    }
}

fn forward(part: &mut Part, seen: Sighting, now: SystemTime) {
    if rank(seen.status()) > rank(part.state) {
        part.state = seen.status();
        part.changed_at = now;
    }
    for (_, status) in &mut part.marks {
        if rank(seen.status()) > rank(*status) {
            *status = seen.status();
        }
    }
}

fn mark(part: &mut Part, address: &EmailAddress, seen: Sighting, now: SystemTime) {
    let status = seen.status();
    let before = part.recipient(address, part.state);
    if rank(status) <= rank(before) {
        return;
    }
    part.changed_at = now;
    match part.marks.iter_mut().find(|(marked, _)| marked.same_mailbox(address)) {
        Some((_, marked)) => *marked = status,
        None => part.marks.push((address.clone(), status)),
    }
}

/// The order in which evidence moves: only forward.
fn rank(status: Status) -> u8 {
    match status {
        Status::Complained => 4,
        Status::Bounced => 3,
        Status::Delivered => 2,
        Status::Accepted => 1,
        Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Cancelled
        | Status::Suppressed
        | Status::Expired
        | Status::Rejected
        | Status::InDoubt
        | Status::Damaged => 0,
    }
}

#[cfg(test)]
mod tests {
    use shivneri_core::{Doubt, SendError};

    use super::*;

    #[test]
    fn late_doubt_from_before_a_requeue_keeps_nothing_waiting() {
        let now = SystemTime::UNIX_EPOCH;
        let recipients = vec!["b@x.org".parse().unwrap()];
        let part = Part::first(DeliveryId::new(), recipients, now, now, now);
        let provider = "alpha".parse().unwrap();
        let doubt = SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came");
        let until = now + Duration::from_secs(60);
        for (forgiven, doubts, overruled) in [(1, 0, 1), (0, 1, 0)] {
            let mut part = Part { attempts: 1, forgiven, ..part.clone() };
            let late = Late {
                number: 1,
                was_open: true,
                other_open: false,
                gone: false,
                provider: &provider,
            };
            let outcome = Outcome::Failed(doubt.clone());
            let (_, moved) = part.amend(&late, &outcome, &Transition::Doubt { until }, 1, now);
            assert_eq!((part.doubts, part.overruled), (doubts, overruled));
            assert_eq!((moved, part.is_in_doubt()), (doubts == 1, true));
        }
    }
}
