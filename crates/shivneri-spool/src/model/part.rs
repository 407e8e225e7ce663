//! One part of a message: a delivery with its recipients, and how it moves.

use std::time::{Duration, SystemTime};

use shivneri_core::{
    DeliveryId, Email, EmailAddress, Failure, Outcome, ProviderId, Scope, Transition,
    delivery::Awaiting, retry,
};

use crate::Status;

/// Why a part waits that is in doubt.
const ASKED_FOR: &str = "an attempt is in doubt; evidence is asked for";
const AWAITED: &str = "an attempt is in doubt; evidence is awaited";

/// A delivery as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) id: DeliveryId,
    /// Counts from 0 within the message.
    pub(crate) number: u16,
    /// `scheduled`, `queued`, or a final status; that it is being sent is known only in memory.
    pub(crate) state: Status,
    pub(crate) recipients: Vec<EmailAddress>,
    /// Whether those are all of the message's.
    pub(crate) whole: bool,
    /// What was seen of single recipients after the part as a whole had ended.
    pub(crate) marks: Vec<(EmailAddress, Status)>,
    /// Recipients that were refused, so that the headers leave them out as well.
    pub(crate) dropped: Vec<EmailAddress>,
    pub(crate) due: SystemTime,
    pub(crate) deadline: SystemTime,
    /// The number of the latest attempt; 0 before the first.
    pub(crate) attempts: u32,
    /// Attempts up to this number were before a requeue and count for nothing.
    pub(crate) forgiven: u32,
    /// Attempts in doubt that nothing has settled.
    pub(crate) doubts: u32,
    /// The same of those before a requeue: a person had it sent again in spite of them. Nothing
    /// waits for them, but no later end may hide them.
    pub(crate) overruled: u32,
    /// Until when evidence is asked for; it is due whenever it is to be asked for.
    pub(crate) asking: Option<SystemTime>,
    /// Whether an attempt went out while an earlier one was in doubt.
    pub(crate) resent: bool,
    /// Why it waits or how it ended, for people.
    pub(crate) reason: Option<String>,
    /// The provider of the latest attempt that ended.
    pub(crate) provider: Option<ProviderId>,
    pub(crate) changed_at: SystemTime,
}

impl Part {
    /// The first part of a message, with all of its recipients.
    pub(crate) fn first(
        id: DeliveryId,
        recipients: Vec<EmailAddress>,
        due: SystemTime,
        deadline: SystemTime,
        now: SystemTime,
    ) -> Self {
        Self {
            id,
            number: 0,
            state: if due > now { Status::Scheduled } else { Status::Queued },
            recipients,
            whole: true,
            marks: Vec::new(),
            dropped: Vec::new(),
            due,
            deadline,
            attempts: 0,
            forgiven: 0,
            doubts: 0,
            overruled: 0,
            asking: None,
            resent: false,
            reason: None,
            provider: None,
            changed_at: now,
        }
    }

    /// What is asked for while it is in doubt.
    pub(crate) fn awaiting(&self) -> Option<Awaiting> {
        let until = self.asking.filter(|_| self.doubts > 0)?;
        Some(Awaiting { ask: self.due, until })
    }

    /// Where it stands, as it is shown; `open` tells whether an attempt is open.
    pub(crate) fn shown(&self, open: bool, now: SystemTime) -> Status {
        if self.state.is_final() {
            let all = self.recipients.iter().map(|address| self.recipient(address, self.state));
            return Status::of(all).unwrap_or(self.state);
        }
        if open || self.doubts > 0 {
            Status::Sending
        } else if self.state == Status::Scheduled && self.due > now {
            Status::Scheduled
        } else {
            Status::Queued
        }
    }

    /// Where one recipient of it stands, while the part as a whole shows `shown`.
    pub(crate) fn recipient(&self, address: &EmailAddress, shown: Status) -> Status {
        let mark = self.marks.iter().find(|(marked, _)| marked.same_mailbox(address));
        mark.map_or(shown, |(_, status)| *status)
    }

    /// Every attempt that was perhaps sent, with those that a person has overruled.
    pub(crate) fn all_doubts(&self) -> u64 {
        u64::from(self.doubts) + u64::from(self.overruled)
    }

    /// Whether an attempt was perhaps sent and nothing has settled it.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.open_doubts() > 0
    }

    /// The doubts that the count of possible duplicates includes.
    pub(crate) fn open_doubts(&self) -> u64 {
        if is_taken(self.state) { 0 } else { self.all_doubts() }
    }

    /// Moves it as an attempt's end or a decision without an attempt asks. Refused and deferred
    /// recipients split off into parts of their own, numbered from `next_number` on.
    pub(crate) fn apply(
        &mut self,
        outcome: Option<&Outcome>,
        transition: &Transition,
        next_number: u16,
        now: SystemTime,
    ) -> Vec<Self> {
        self.changed_at = now;
        let Split { kept, refused, deferred } = self.sort(outcome);
        let dropped = refused.clone();
        // The first group that has anyone keeps the delivery's identity.
        let mut groups = Vec::with_capacity(3);
        if !kept.is_empty() {
            groups.push((kept, Fate::Told(transition.clone())));
        }
        if !deferred.is_empty() {
            groups.push((deferred, Fate::Deferred));
        }
        if !refused.is_empty() {
            let reason = outcome.and_then(Outcome::error).map(|error| error.detail().to_owned());
            let reason = reason.unwrap_or_else(|| "the provider refused the recipient".to_owned());
            groups.push((refused, Fate::Told(Transition::Rejected { reason })));
        }
        let mut groups = groups.into_iter();
        let Some((own, fate)) = groups.next() else { return Vec::new() };
        let before = self.clone();
        let left = self.deadline.duration_since(now).unwrap_or_default();
        if groups.len() > 0 {
            self.recipients = own;
            self.whole = false;
        }
        self.dropped.extend(dropped);
        self.spare_own();
        self.move_to(&fate.transition(self.id, self.attempts.saturating_sub(1), left, now));
        let mut split = Vec::new();
        for (number, (recipients, fate)) in (next_number..).zip(groups) {
            let id = DeliveryId::new();
            let mut part = Self {
                id,
                number,
                recipients,
                whole: false,
                dropped: self.dropped.clone(),
                attempts: 0,
                forgiven: 0,
                ..before.clone()
            };
            part.spare_own();
            part.move_to(&fate.transition(id, 0, left, now));
            split.push(part);
        }
        split
    }

    /// Its own recipients are in its headers, though another part's may leave them out.
    fn spare_own(&mut self) {
        let own = &self.recipients;
        self.dropped.retain(|gone| !own.iter().any(|one| one.same_mailbox(gone)));
    }

    /// The email as this part's recipients get it, or why there is none.
    pub(crate) fn narrow(&self, email: Email) -> Result<Email, String> {
        if self.whole {
            return Ok(email);
        }
        let empty = |_| "none of its recipients is in its envelope".to_owned();
        let email = if self.dropped.is_empty() {
            email
        } else {
            email.without(&self.dropped).map_err(empty)?
        };
        email.only_to(&self.recipients).map_err(empty)
    }

    /// Makes it due now where it waits only for evidence about doubts that are all settled: it was
    /// certainly not sent. Whether it did.
    pub(super) fn wake(&mut self, now: SystemTime) -> bool {
        let waits = |reason: &String| reason == ASKED_FOR || reason == AWAITED;
        let is_over =
            !self.state.is_final() && self.doubts == 0 && self.reason.as_ref().is_some_and(waits);
        if is_over {
            (self.due, self.asking, self.reason, self.changed_at) = (now, None, None, now);
        }
        is_over
    }

    /// Whether a transition leaves it leased.
    pub(crate) fn stays_leased(&self, transition: &Transition) -> bool {
        *transition == Transition::Continue && !self.state.is_final()
    }

    fn move_to(&mut self, transition: &Transition) {
        let (state, due, reason) = match transition {
            // Decided on a doubt that evidence has settled meanwhile: it was certainly not sent.
            Transition::InDoubt { .. } if self.all_doubts() == 0 => {
                (Status::Queued, self.changed_at, None)
            }
            Transition::Ask { .. } | Transition::Doubt { .. } if self.doubts == 0 => {
                (Status::Queued, self.changed_at, None)
            }
            Transition::Continue => (Status::Queued, self.due, None),
            Transition::Accepted => (Status::Accepted, self.due, None),
            Transition::Rejected { reason } => (Status::Rejected, self.due, Some(reason.clone())),
            Transition::Retry { at, reason } => (Status::Queued, *at, Some(reason.clone())),
            Transition::Ask { at, .. } => (Status::Queued, *at, Some(ASKED_FOR.to_owned())),
            Transition::Doubt { until } => (Status::Queued, *until, Some(AWAITED.to_owned())),
            Transition::InDoubt { reason } => (Status::InDoubt, self.due, Some(reason.clone())),
            Transition::Expired => (Status::Expired, self.due, None),
        };
        // An unresolved doubt leaves no other end than accepted and in doubt.
        let hides = matches!(state, Status::Rejected | Status::Expired) && self.all_doubts() > 0;
        self.state = if hides { Status::InDoubt } else { state };
        self.asking = match transition {
            Transition::Ask { until, .. } => Some(*until),
            Transition::Continue
            | Transition::Accepted
            | Transition::Rejected { .. }
            | Transition::Retry { .. }
            | Transition::Doubt { .. }
            | Transition::InDoubt { .. }
            | Transition::Expired => None,
        };
        self.due = due;
        self.reason = reason;
    }

    fn sort(&self, outcome: Option<&Outcome>) -> Split {
        let (refused, deferred): (&[EmailAddress], &[EmailAddress]) = match outcome {
            None => (&[], &[]),
            Some(Outcome::Accepted(receipt)) => (&receipt.refused, &receipt.deferred),
            Some(Outcome::Failed(error)) => match error.failure() {
                Failure::Rejected(Scope::Recipients(refused)) => (refused, &[]),
                Failure::Rejected(Scope::Message | Scope::Unexplained)
                | Failure::Unsupported
                | Failure::AccountFault(_)
                | Failure::Throttled { .. }
                | Failure::Unavailable
                | Failure::InDoubt(_) => (&[], &[]),
            },
        };
        let among = |list: &[EmailAddress], one: &EmailAddress| {
            list.iter().any(|listed| listed.same_mailbox(one))
        };
        let mut split = Split::default();
        for recipient in &self.recipients {
            let group = if among(refused, recipient) {
                &mut split.refused
            } else if among(deferred, recipient) {
                &mut split.deferred
            } else {
                &mut split.kept
            };
            group.push(recipient.clone());
        }
        split
    }
}

#[derive(Debug, Default)]
struct Split {
    kept: Vec<EmailAddress>,
    refused: Vec<EmailAddress>,
    deferred: Vec<EmailAddress>,
}

/// Whether a provider has taken it for certain.
pub(crate) fn is_taken(state: Status) -> bool {
    match state {
        Status::Accepted | Status::Delivered | Status::Bounced | Status::Complained => true,
        Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Cancelled
        | Status::Suppressed
        | Status::Expired
        | Status::Rejected
        | Status::InDoubt
        | Status::Damaged => false,
    }
}

/// What becomes of a group of a part's recipients.
#[derive(Clone, Debug)]
enum Fate {
    Told(Transition),
    /// The provider did not take them now.
    Deferred,
}

impl Fate {
    fn transition(
        self,
        id: DeliveryId,
        before: u32,
        left: Duration,
        now: SystemTime,
    ) -> Transition {
        match self {
            Self::Told(transition) => transition,
            Self::Deferred => {
                // The retry schedule's step after the attempts `before`, drawn from the id. The
                // two highest bits of its lower half are the UUID's variant.
                let (_, low) = id.as_uuid().as_u64_pair();
                let at = now + retry::delay_within(left, before, low << 2);
                Transition::Retry { at, reason: "the provider deferred the recipient".into() }
            }
        }
    }
}

#[cfg(test)]
mod tests;
