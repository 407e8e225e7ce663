//! Parts that split off while an attempt was in doubt, and so inherited the doubt: evidence about
//! the attempt is about their recipients too.

use std::time::SystemTime;

use shivneri_core::{Attempt, DeliveryId, EmailAddress, Outcome, Transition};

use super::{End, Part, Try, message::Late};
use crate::Status;

/// A part that inherited the doubt of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir {
    /// Its place among the message's parts.
    at: usize,
    /// A number of its own by which the doubt counts.
    number: u32,
    /// It has an open attempt.
    is_open: bool,
    /// One of its own attempts was taken, and was perhaps not the first.
    was_taken_again: bool,
}

impl Heir {
    /// The part at this place, if it split off from the part `parent` after `attempt` had begun
    /// and holds more doubts than those of its `own` attempts.
    pub(crate) fn find<'a>(
        at: usize,
        part: &Part,
        parent: u16,
        attempt: &Attempt,
        own: impl IntoIterator<Item = &'a Try>,
        is_open: bool,
    ) -> Option<Self> {
        // Ids sort by time.
        let is_later = part.number > parent && part.id.as_uuid() > attempt.id.as_uuid();
        if !is_later || part.state == Status::Damaged {
            return None;
        }
        let (mut doubts, mut overruled, mut was_taken_again) = (0, 0, false);
        for one in own {
            let Some(end) = &one.end else { continue };
            let counts = one.attempt.number > part.forgiven;
            doubts += u32::from(end.is_in_doubt() && counts);
            overruled += u32::from(end.is_in_doubt() && !counts);
            was_taken_again |= end.doubles(&one.attempt);
        }
        let number = if part.doubts > doubts {
            part.forgiven + 1
        } else if part.overruled > overruled {
            part.forgiven
        } else {
            return None;
        };
        Some(Self { at, number, is_open, was_taken_again })
    }
}

/// Whether late evidence has to come again for the sake of one of them.
pub(crate) fn can_not_take(
    heirs: &[Heir],
    parts: &[Part],
    late: &Late<'_>,
    outcome: &Outcome,
) -> bool {
    heirs.iter().any(|heir| parts[heir.at].can_not_take(&heir.late(late), outcome))
}

/// Takes late evidence for all of them: those that moved, and how many mails are known to have
/// been taken twice by it.
pub(crate) fn amend(
    heirs: &[Heir],
    parts: &mut Vec<Part>,
    late: &Late<'_>,
    outcome: &Outcome,
    transition: &Transition,
    now: SystemTime,
) -> (Vec<DeliveryId>, u64) {
    let (mut moved, mut doubled) = (Vec::new(), 0);
    for heir in heirs {
        let next_number = parts.len() as u16;
        let part = &mut parts[heir.at];
        doubled += u64::from(heir.was_taken_again && took_some_of(outcome, &part.recipients));
        let late = heir.late(late);
        // What waits for its own turn does not wait for less because it was not sent before; what
        // waits only for evidence has it now.
        if matches!(outcome, Outcome::Failed(_)) && !part.state.is_final() {
            part.settle(&late);
            if !late.other_open && part.wake(now) {
                moved.push(part.id);
            }
            continue;
        }
        let attempts = part.attempts;
        let (split, has_moved) = part.amend(&late, outcome, transition, next_number, now);
        part.attempts = attempts;
        if has_moved {
            moved.push(part.id);
        }
        parts.extend(split);
    }
    (moved, doubled)
}

/// Takes the doubt away from all of them that they inherited of an attempt, whose request has its
/// answer by another one.
pub(crate) fn settle(heirs: &[Heir], parts: &mut [Part]) {
    for heir in heirs {
        parts[heir.at].settle_doubt(heir.number);
    }
}

impl Heir {
    fn late<'a>(&self, late: &Late<'a>) -> Late<'a> {
        Late { number: self.number, other_open: self.is_open, ..*late }
    }
}

fn took_some_of(outcome: &Outcome, recipients: &[EmailAddress]) -> bool {
    let Outcome::Accepted(receipt) = outcome else { return false };
    let named = |one: &EmailAddress| {
        let mut named = receipt.refused.iter().chain(&receipt.deferred);
        named.any(|other| other.same_mailbox(one))
    };
    !recipients.iter().all(named)
}

/// Whether evidence settles a doubt at all: one that had not ended in doubt was inherited by nobody.
pub(crate) fn has_heirs(one: &Try) -> bool {
    one.end.as_ref().is_some_and(End::is_in_doubt)
}
