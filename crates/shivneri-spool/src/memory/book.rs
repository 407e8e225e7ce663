//! The in-memory spool's contents, and what is written into them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{
    Attempt, AttemptId, DeliveryId, Lane, MessageId, Outcome, Transition, decision,
};

use super::stored::Stored;
use crate::{
    Acceptance, Change, Event, Incoming, Shelf, SpoolError, Status,
    model::{
        End, Lease, Part, Queue, Try, message, pause,
        queue::{PART_BITS, key_of},
        tries::{self, interrupted},
    },
};

/// How long idempotency keys count and events are kept.
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Earlier {
    fingerprint: [u8; 32],
    message: MessageId,
    status: Status,
    at: SystemTime,
}

/// Everything under the one lock.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) messages: BTreeMap<i64, Stored>,
    pub(super) rows: HashMap<MessageId, i64>,
    pub(super) queue: Queue,
    keys: HashMap<(String, String), Earlier>,
    pub(super) events: VecDeque<Event>,
    pub(super) last_event: u64,
    last_row: i64,
    pub(super) accepted: u64,
    pub(super) purged: u64,
    pub(super) possible_duplicates: u64,
    pub(super) confirmed_duplicates: u64,
    pub(super) operations: u64,
    pub(super) shelves: BTreeMap<(Shelf, String), Vec<u8>>,
    pub(super) generations: HashMap<String, u64>,
    pub(super) closed: bool,
    /// Whether the next due time became earlier.
    pub(super) earlier: bool,
}

impl Book {
    pub(super) fn new(lanes: &[Arc<Lane>]) -> Self {
        Self {
            messages: BTreeMap::new(),
            rows: HashMap::new(),
            queue: Queue::new(lanes.iter().map(Arc::as_ref)),
            keys: HashMap::new(),
            events: VecDeque::new(),
            last_event: 0,
            last_row: 0,
            accepted: 0,
            purged: 0,
            possible_duplicates: 0,
            confirmed_duplicates: 0,
            operations: 0,
            shelves: BTreeMap::new(),
            generations: HashMap::new(),
            closed: false,
            earlier: false,
        }
    }

    /// What the next owner finds: attempts that were open are in doubt, and nothing is leased.
    pub(super) fn taken_over(mut self, lanes: &[Arc<Lane>], now: SystemTime) -> Self {
        let empty = || Queue::new(lanes.iter().map(Arc::as_ref));
        self.queue = empty();
        let mut open = Vec::new();
        for stored in self.messages.values() {
            let is_open = |one: &&Try| one.end.is_none();
            let ids = stored.tries.iter().filter(is_open).map(|one| one.attempt.id);
            open.extend(ids.map(|id| (id, lanes[stored.lane].doubt_wait)));
        }
        for (attempt, wait) in open {
            let amended = self.amend(attempt, &interrupted(), &decision::ask_later(wait, now), now);
            debug_assert!(amended.is_ok(), "no other attempt is open any more");
        }
        self.queue = empty();
        for stored in self.messages.values() {
            for part in stored.parts.iter().filter(|part| !part.state.is_final()) {
                self.queue.push(stored.lane, part.due, key_of(stored.row, part.number));
            }
        }
        self.earlier = false;
        self
    }

    pub(super) fn accept(
        &mut self,
        incoming: Incoming,
        lane: usize,
        rules: &Lane,
    ) -> Result<Acceptance, SpoolError> {
        let Incoming { message, door, owner, idempotency, at } = incoming;
        if let Some(idempotency) = &idempotency {
            let earlier = self.keys.get(&(owner.clone(), idempotency.key.clone()));
            if let Some(earlier) = earlier.filter(|earlier| earlier.at + DAY > at) {
                return Ok(if earlier.fingerprint == idempotency.fingerprint {
                    Acceptance::Replayed { id: earlier.message, status: earlier.status }
                } else {
                    Acceptance::Conflict
                });
            }
        }
        let (email, id) = (message.email, message.lane);
        let lane_name = id;
        let id = email.id();
        if self.rows.contains_key(&id) {
            return Err(SpoolError::Write { reason: format!("message {id} is there already") });
        }
        self.last_row += 1;
        let row = self.last_row;
        let due = message.send_at.unwrap_or(at).max(at);
        let deadline = message.expires_at.unwrap_or(due + rules.max_age);
        let recipients = email.envelope().recipients().to_vec();
        let delivery = DeliveryId::from_uuid(*id.as_uuid());
        let part = Part::first(delivery, recipients.clone(), due, deadline, at);
        let status = part.state;
        if let Some(idempotency) = idempotency {
            let fingerprint = idempotency.fingerprint;
            let earlier = Earlier { fingerprint, message: id, status, at };
            self.keys.insert((owner.clone(), idempotency.key), earlier);
        }
        self.messages.insert(
            row,
            Stored {
                row,
                id,
                lane,
                lane_name,
                door: door.as_str(),
                owner,
                from: email.from().to_string(),
                subject: email.subject().to_owned(),
                tags: email.tags().to_vec(),
                recipients,
                email: Some(Arc::new(email)),
                on_doubt: message.on_doubt.unwrap_or(rules.on_doubt),
                providers: message.providers.map(Arc::from),
                accepted_at: at,
                send_at: message.send_at,
                parts: vec![part],
                tries: Vec::new(),
                events: Vec::new(),
            },
        );
        self.rows.insert(id, row);
        self.accepted += 1;
        self.event(row, status, false, at);
        self.push(lane, due, key_of(row, 0));
        Ok(Acceptance::New { id, status })
    }

    pub(super) fn begin(&mut self, attempt: &Attempt) -> Result<(), SpoolError> {
        let delivery = attempt.delivery;
        self.refuse_outdated(delivery)?;
        let lease = self.queue.leased(delivery).filter(|lease| !lease.settled);
        let lease = lease.ok_or(SpoolError::UnknownDelivery(delivery))?;
        if lease.open.is_some() {
            return Err(SpoolError::AttemptOpen(delivery));
        }
        if attempt.number <= lease.part.attempts {
            let reason = format!("attempt {} of {delivery} was made before", attempt.number);
            return Err(SpoolError::Write { reason });
        }
        lease.open = Some(attempt.id);
        lease.part.attempts = attempt.number;
        lease.part.resent |= attempt.possible_duplicate;
        lease.part.state = Status::Queued;
        let (row, number) = (lease.key >> PART_BITS, lease.part.number);
        self.possible_duplicates += u64::from(attempt.may_double());
        if let Some(message) = self.messages.get_mut(&row) {
            message.tries.push(Try { attempt: attempt.clone(), end: None });
            for part in message.parts.iter_mut().filter(|part| part.number == number) {
                part.state = Status::Queued;
            }
        }
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<(), SpoolError> {
        let lease = self.queue.leased(attempt.delivery);
        let lease = lease.filter(|lease| lease.open == Some(attempt.id));
        let mut lease = lease.ok_or(SpoolError::UnknownAttempt(attempt.id))?.clone();
        let end = End::of(outcome, now);
        lease.open = None;
        lease.part.provider = Some(attempt.provider.clone());
        let doubts = u32::from(end.is_in_doubt());
        if lease.settled
            && let Some(message) = self.messages.get(&(lease.key >> PART_BITS))
        {
            let tries = message.tries_of(attempt.delivery);
            self.confirmed_duplicates += u64::from(end.is_taken_again(attempt, tries));
        }
        for same in self.same_in_doubt(lease.key, attempt, &end) {
            lease.part.settle_doubt(same.attempt.number);
            self.close(lease.key, same.attempt.id, end.clone());
        }
        self.close(lease.key, attempt.id, end);
        if let Some(until) = pause::asked_for(outcome, now) {
            let place = (Shelf::Pauses, attempt.provider.as_str().to_owned());
            let kept = self.shelves.get(&place).map(Vec::as_slice);
            if let Some(kept) = pause::extended(kept, until, now) {
                self.shelves.insert(place, kept);
            }
        }
        self.carry(lease, Some(outcome), doubts, transition, now);
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        delivery: DeliveryId,
        transition: &Transition,
        now: SystemTime,
    ) -> Result<(), SpoolError> {
        self.refuse_outdated(delivery)?;
        let lease = self.queue.leased(delivery).ok_or(SpoolError::UnknownDelivery(delivery))?;
        if lease.open.is_some() {
            return Err(SpoolError::AttemptOpen(delivery));
        }
        let lease = lease.clone();
        self.carry(lease, None, 0, transition, now);
        Ok(())
    }

    fn refuse_outdated(&mut self, delivery: DeliveryId) -> Result<(), SpoolError> {
        let Some(lease) = self.queue.end_outdated(delivery) else { return Ok(()) };
        self.push(lease.lane, lease.part.due, lease.key);
        Err(SpoolError::UnknownDelivery(delivery))
    }

    pub(super) fn close(&mut self, key: i64, attempt: AttemptId, end: End) {
        let message = self.messages.get_mut(&(key >> PART_BITS));
        let tries = message.into_iter().flat_map(|message| &mut message.tries);
        if let Some(one) = tries.into_iter().find(|one| one.attempt.id == attempt) {
            one.end = Some(end);
        }
    }

    /// The attempts in doubt that an acceptance of the same request settles.
    pub(super) fn same_in_doubt(&self, key: i64, attempt: &Attempt, end: &End) -> Vec<Try> {
        let message = self.messages.get(&(key >> PART_BITS)).filter(|_| end.past.is_none());
        let tries = message.into_iter().flat_map(|message| &message.tries);
        tries::same_in_doubt(attempt, tries).cloned().collect()
    }

    fn carry(
        &mut self,
        mut lease: Lease,
        outcome: Option<&Outcome>,
        doubts: u32,
        transition: &Transition,
        now: SystemTime,
    ) {
        let row = lease.key >> PART_BITS;
        let Some(message) = self.messages.get(&row) else { return };
        let before = message.parts.clone();
        let mut after = before.clone();
        let Some(at) = after.iter().position(|part| part.number == lease.part.number) else {
            return;
        };
        if lease.settled {
            after[at].attempts = lease.part.attempts;
            after[at].resent = lease.part.resent;
            self.queue.end(lease.part.id);
            self.rewrite(row, &before, after, now);
            return;
        }
        lease.part.doubts += doubts;
        let split = lease.part.apply(outcome, transition, before.len() as u16, now);
        after[at] = lease.part.clone();
        for part in &split {
            self.push(lease.lane, part.due, key_of(row, part.number));
        }
        after.extend(split);
        if lease.part.stays_leased(transition) {
            self.queue.renew(lease);
        } else {
            self.queue.end(lease.part.id);
            self.push(lease.lane, lease.part.due, lease.key);
        }
        self.rewrite(row, &before, after, now);
    }

    pub(super) fn change(
        &mut self,
        id: MessageId,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<Part>, &dyn Fn(&Part) -> bool) -> Change,
    ) -> Change {
        let Some(row) = self.rows.get(&id).copied() else { return Change::NotFound };
        let Some(message) = self.messages.get(&row) else { return Change::NotFound };
        let before = message.parts.clone();
        let mut after = before.clone();
        let done = change(&mut after, &|part| self.queue.open(part.id).is_some());
        if done == Change::Done {
            self.rewrite(row, &before, after.clone(), now);
            self.follow(row, &before, &after, &[], None);
        }
        done
    }

    pub(super) fn rewrite(&mut self, row: i64, before: &[Part], after: Vec<Part>, now: SystemTime) {
        let face = |parts: &[Part]| message::face(parts, |_| false, SystemTime::UNIX_EPOCH);
        let (was, is) = (face(before), face(&after));
        if let Some(message) = self.messages.get_mut(&row) {
            message.parts = after;
        }
        if was != is {
            self.event(row, is.status, is.in_doubt, now);
        }
    }

    fn event(&mut self, row: i64, status: Status, in_doubt: bool, at: SystemTime) {
        let Some(message) = self.messages.get_mut(&row) else { return };
        self.last_event += 1;
        let event = Event { sequence: self.last_event, message: message.id, status, in_doubt, at };
        message.events.push(Event { sequence: 0, ..event.clone() });
        self.events.push_back(event);
    }

    pub(super) fn forget_old(&mut self, now: SystemTime) {
        self.keys.retain(|_, earlier| earlier.at + DAY > now);
        while self.events.front().is_some_and(|event| event.at + DAY < now) {
            self.events.pop_front();
        }
    }

    pub(super) fn delete(&mut self, row: i64) {
        let Some(message) = self.messages.remove(&row) else { return };
        self.rows.remove(&message.id);
        for part in &message.parts {
            self.queue.end(part.id);
        }
        self.purged += 1;
    }

    pub(super) fn push(&mut self, lane: usize, due: SystemTime, key: i64) {
        self.earlier |= self.queue.push(lane, due, key);
    }
}
