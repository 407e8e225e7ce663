//! The in-memory spool's face.

use std::{path::Path, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use shivneri_core::{
    AgentId, Attempt, AttemptId, AttemptLog, Delivery, DeliveryId, Lane, LogError, MessageId,
    Outcome, Transition, UnsettledAttempt,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Memory, stored::Stored};
use crate::{
    Acceptance, Amended, Audit, Change, Collected, Commits, Duplicates, Event, Evidence, Incoming,
    MessageRecord, OpenAttempt, Page, Park, Retention, Search, Shelf, Spool, SpoolError,
    SpoolHealth, SpoolState, Stats,
    model::{Part, Try, message, queue::micros},
};

#[async_trait]
impl AttemptLog for Memory {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.check_epoch(attempt)?;
        Ok(self.write(|book| book.begin(attempt))?)
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.check_epoch(attempt)?;
        let now = self.clock.now();
        Ok(self.write(|book| book.end(attempt, outcome, transition, now))?)
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        let now = self.clock.now();
        Ok(self.write(|book| book.settle(delivery, transition, now))?)
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        let now = self.clock.now();
        let cleared = self.write(|book| book.clear_up(attempt, outcome, transition, now));
        cleared?.or_refused(attempt)
    }
}

#[async_trait]
impl Spool for Memory {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    async fn accept(&self, incoming: Incoming) -> Result<Acceptance, SpoolError> {
        let name = &incoming.message.lane;
        let lane = self.lanes.iter().position(|lane| lane.name == *name);
        let lane = lane.ok_or_else(|| SpoolError::UnknownLane(name.clone()))?;
        let max_messages = self.max_messages;
        self.write(|book| {
            let is_unfinished =
                |stored: &&Stored| stored.parts.iter().any(|part| !part.state.is_final());
            if book.messages.len() as u64 >= max_messages {
                let unfinished = book.messages.values().filter(is_unfinished).count() as u64;
                if unfinished >= max_messages {
                    let reason = format!("{unfinished} messages are not finished");
                    return Err(SpoolError::Full { reason });
                }
            }
            book.accept(incoming, lane, &self.lanes[lane])
        })
    }

    async fn lease(&self, max: usize, now: SystemTime) -> Result<Vec<Delivery>, SpoolError> {
        self.write(|book| {
            let taken = book.queue.take(max, now);
            let lease = |(lane, key): (usize, i64)| {
                let due = book.due(key)?;
                // In the queue's own measure: what it calls due must not be put back as due.
                if micros(due) > micros(now) {
                    book.queue.put_back(lane, due, key);
                    return None;
                }
                book.lease(&self.lanes, self.epoch, lane, key, now)
            };
            Ok(taken.into_iter().filter_map(lease).collect())
        })
    }

    async fn lease_overdue(
        &self,
        max: usize,
        now: SystemTime,
    ) -> Result<Vec<Delivery>, SpoolError> {
        self.write(|book| {
            let mut keys = book.decidable(&self.lanes, max, now);
            keys.retain(|(_, key)| book.queue.claim(*key));
            let lease =
                |(lane, key): (usize, i64)| book.lease(&self.lanes, self.epoch, lane, key, now);
            Ok(keys.into_iter().filter_map(lease).collect())
        })
    }

    fn release(&self, delivery: DeliveryId, park: Park) {
        let earlier = self.book().queue.release(delivery, park);
        if earlier {
            self.earlier.notify_one();
        }
    }

    fn unpark(&self) {
        let earlier = self.book().queue.unpark();
        if earlier {
            self.earlier.notify_one();
        }
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.book().queue.next_due()
    }

    async fn due_changed(&self) {
        self.earlier.notified().await;
    }

    async fn get(&self, id: MessageId) -> Result<Option<MessageRecord>, SpoolError> {
        Ok(self.book().record(id, self.clock.now()))
    }

    async fn search(&self, search: &Search) -> Result<Page, SpoolError> {
        Ok(self.book().search(search, self.clock.now()))
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        Ok(self.book().stats(&self.lanes, self.clock.now()))
    }

    async fn audit(&self) -> Result<Audit, SpoolError> {
        Ok(self.book().audit(self.clock.now()))
    }

    async fn cancel(&self, id: MessageId, now: SystemTime) -> Result<Change, SpoolError> {
        self.write(|book| Ok(book.change(id, now, |parts, open| message::cancel(parts, open, now))))
    }

    async fn requeue(
        &self,
        id: MessageId,
        duplicates: Duplicates,
        now: SystemTime,
    ) -> Result<Change, SpoolError> {
        self.write(|book| {
            let stored = book.rows.get(&id).and_then(|row| book.messages.get(row));
            let Some(stored) = stored else { return Ok(Change::NotFound) };
            if stored.email.is_none() {
                return Ok(Change::Gone);
            }
            let max_age = self.lanes[stored.lane].max_age;
            Ok(book.change(id, now, |parts, open| {
                message::requeue(parts, open, duplicates, max_age, now)
            }))
        })
    }

    async fn erase(&self, id: MessageId) -> Result<Change, SpoolError> {
        let now = self.clock.now();
        self.write(|book| {
            let stored = book.rows.get(&id).and_then(|row| book.messages.get(row));
            let Some(stored) = stored else { return Ok(Change::NotFound) };
            if stored.parts.iter().any(|part| book.queue.open(part.id).is_some()) {
                let status = book.summary(stored, now).status;
                return Ok(Change::Refused { status, reason: "an attempt is under way".into() });
            }
            let row = stored.row;
            book.delete(row);
            Ok(Change::Done)
        })
    }

    async fn observe(&self, evidence: &Evidence) -> Result<Change, SpoolError> {
        let now = self.clock.now();
        self.write(|book| {
            let observe = |parts: &mut Vec<Part>, _: &dyn Fn(&Part) -> bool| {
                message::observe(parts, evidence, now)
            };
            Ok(book.change(evidence.message, now, observe))
        })
    }

    async fn attempt(&self, id: AttemptId) -> Result<Option<OpenAttempt>, SpoolError> {
        Ok(self.book().open_attempt(&self.lanes, self.epoch, id))
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, SpoolError> {
        let book = self.book();
        let tries = book.messages.values().flat_map(|stored| &stored.tries);
        let unsettled = |one: &Try| {
            let session = one.attempt.session.as_ref()?;
            let listed = UnsettledAttempt {
                id: one.attempt.id,
                generation: session.generation,
                journal: session.journal,
            };
            (session.agent == *agent && one.is_unsettled()).then_some(listed)
        };
        let mut found: Vec<UnsettledAttempt> = tries.filter_map(unsettled).collect();
        found.sort_by_key(|one| one.id);
        Ok(found)
    }

    async fn amend(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<Amended, SpoolError> {
        let now = self.clock.now();
        self.write(|book| book.amend(attempt, outcome, transition, now))
    }

    async fn events(&self, after: u64, max: usize) -> Result<Vec<Event>, SpoolError> {
        let book = self.book();
        let present =
            |event: &&Event| event.sequence > after && book.rows.contains_key(&event.message);
        Ok(book.events.iter().filter(present).take(max).cloned().collect())
    }

    fn last_event(&self) -> watch::Receiver<u64> {
        self.last_event.subscribe()
    }

    async fn collect(
        &self,
        retention: Retention,
        now: SystemTime,
    ) -> Result<Collected, SpoolError> {
        self.write(|book| {
            let mut collected = Collected::default();
            let mut old = Vec::new();
            for (row, stored) in &mut book.messages {
                let finished = stored.parts.iter().all(|part| part.state.is_final());
                let at = stored.parts.iter().map(|part| part.changed_at).max();
                let Some(at) = at.filter(|_| finished) else { continue };
                if at + retention.message <= now {
                    old.push(*row);
                    collected.messages += 1;
                }
                if at + retention.body <= now && stored.email.take().is_some() {
                    collected.bodies += 1;
                }
            }
            for row in old {
                book.delete(row);
            }
            book.forget_old(now);
            Ok(collected)
        })
    }

    async fn put(
        &self,
        shelf: Shelf,
        key: &str,
        value: Option<Vec<u8>>,
    ) -> Result<bool, SpoolError> {
        self.write(|book| {
            let place = (shelf, key.to_owned());
            let before = match value {
                Some(value) => book.shelves.insert(place, value),
                None => book.shelves.remove(&place),
            };
            Ok(before.is_some())
        })
    }

    async fn shelf(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        let book = self.book();
        let all = book.shelves.iter().filter(|((kind, _), _)| *kind == shelf);
        Ok(all.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, SpoolError> {
        self.write(|book| {
            let generation = book.generations.entry(agent.as_str().to_owned()).or_default();
            *generation += 1;
            Ok(*generation)
        })
    }

    fn health(&self) -> SpoolHealth {
        let book = self.book();
        let operations = book.operations;
        SpoolHealth {
            state: if book.closed { SpoolState::Closed } else { SpoolState::Open },
            full: None,
            commits: Commits { commits: operations, operations, ..Commits::default() },
        }
    }

    async fn backup(&self, _: &Path) -> Result<(), SpoolError> {
        Err(SpoolError::Write { reason: "a spool in memory has no copy".into() })
    }

    async fn close(&self) {
        self.book().closed = true;
    }
}
