//! Reading the in-memory spool.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use shivneri_core::{AttemptId, Delivery, EmailAddress, Lane, MessageId, decision};

use super::{book::Book, stored::Stored};
use crate::{
    Audit, Change, Cursor, LaneStats, MessageRecord, OpenAttempt, Page, RecipientRecord, Search,
    Stats, Status, Summary, Waiting,
    model::{
        Lease, Part, Try, message,
        queue::{MAX_PARTS, PART_BITS, key_of},
        tries,
    },
};

impl Book {
    /// When a taken key's delivery is due; none where it is finished, and then it is forgotten.
    pub(super) fn due(&mut self, key: i64) -> Option<SystemTime> {
        let message = self.messages.get(&(key >> PART_BITS));
        let part = message.and_then(|message| message.part(key));
        let due = part.filter(|part| !part.state.is_final()).map(|part| part.due);
        if due.is_none() {
            self.queue.forget(key);
        }
        due
    }

    /// The lanes and keys of what needs a decision, at most so many.
    pub(super) fn decidable(
        &self,
        lanes: &[Arc<Lane>],
        max: usize,
        now: SystemTime,
    ) -> Vec<(usize, i64)> {
        let of_all = |needs: &dyn Fn(&Stored, &Part) -> bool, max: usize| {
            let all = self.messages.values();
            all.flat_map(|stored| stored.parts.iter().map(move |part| (stored, part)))
                .filter(|(stored, part)| !part.state.is_final() && needs(stored, part))
                .map(|(stored, part)| (stored.lane, key_of(stored.row, part.number)))
                .filter(|(_, key)| !self.queue.is_claimed(*key))
                .take(max)
                .collect::<Vec<_>>()
        };
        // What is decided does not depend on whose epoch it is.
        let ends = |stored: &Stored, part: &Part| {
            let tried = stored.tries_of(part.id);
            part.deadline > now
                && part.doubts > 0
                && part.due <= now
                && delivery(stored, part, &lanes[stored.lane], 0, tried)
                    .is_ok_and(|delivery| decision::overdue(&delivery, now).is_some())
        };
        let mut keys = of_all(&ends, max.div_ceil(2));
        keys.extend(of_all(&|_, part| part.deadline <= now, max - keys.len()));
        keys
    }

    /// A taken key as a delivery; none where it changed meanwhile, or is set aside because it
    /// can't be built.
    pub(super) fn lease(
        &mut self,
        lanes: &[Arc<Lane>],
        epoch: u64,
        lane: usize,
        key: i64,
        now: SystemTime,
    ) -> Option<Delivery> {
        let message = self.messages.get(&(key >> PART_BITS))?;
        let part = message.part(key)?;
        match delivery(message, part, &lanes[lane], epoch, message.tries_of(part.id)) {
            Ok(delivery) => {
                let alone = message.parts.len() == 1;
                let part = part.clone();
                let lease =
                    Lease { key, lane, part, alone, open: None, settled: false, outdated: false };
                self.queue.lease(lease).then_some(delivery)
            }
            Err(reason) => {
                let id = message.id;
                self.queue.forget(key);
                self.change(id, now, |parts, _| {
                    let number = (key & (MAX_PARTS as i64 - 1)) as u16;
                    if let Some(part) = parts.iter_mut().find(|part| part.number == number) {
                        part.state = Status::Damaged;
                        part.reason = Some(reason);
                        part.changed_at = now;
                    }
                    Change::Done
                });
                None
            }
        }
    }

    fn face(&self, stored: &Stored, now: SystemTime) -> message::Face {
        message::face(&stored.parts, |part| self.queue.open(part.id).is_some(), now)
    }

    pub(super) fn summary(&self, stored: &Stored, now: SystemTime) -> Summary {
        let face = self.face(stored, now);
        let latest = stored.parts.iter().max_by_key(|part| part.changed_at);
        Summary {
            id: stored.id,
            status: face.status,
            in_doubt: face.in_doubt,
            possible_duplicate: stored.parts.iter().any(|part| part.resent),
            lane: stored.lane_name.clone(),
            door: stored.door.to_owned(),
            owner: stored.owner.clone(),
            from: stored.from.clone(),
            recipients: stored.recipients.iter().map(|one| one.as_str().to_owned()).collect(),
            subject: stored.subject.clone(),
            tags: stored.tags.clone(),
            provider: latest.and_then(|part| part.provider.clone()),
            accepted_at: stored.accepted_at,
            changed_at: latest.map_or(stored.accepted_at, |part| part.changed_at),
        }
    }

    pub(super) fn record(&self, id: MessageId, now: SystemTime) -> Option<MessageRecord> {
        let stored = self.messages.get(self.rows.get(&id)?)?;
        let mut summary = self.summary(stored, now);
        let tries = &stored.tries;
        summary.possible_duplicate |= tries.iter().any(|one| one.attempt.possible_duplicate);
        let deadline = stored.parts.iter().map(|part| part.deadline).max();
        Some(MessageRecord {
            email: stored.email.clone(),
            send_at: stored.send_at,
            deadline: deadline.unwrap_or(stored.accepted_at),
            on_doubt: stored.on_doubt,
            providers: stored.providers.as_ref().map(|list| list.to_vec()),
            recipients: self.recipients(stored, now),
            attempts: tries.iter().map(Try::record).collect(),
            events: stored.events.clone(),
            waiting: self.waiting(stored, now),
            summary,
        })
    }

    fn recipients(&self, stored: &Stored, now: SystemTime) -> Vec<RecipientRecord> {
        let record = |address: &EmailAddress| {
            let has = |part: &&Part| part.recipients.iter().any(|one| one.same_mailbox(address));
            let part = stored.parts.iter().find(has)?;
            let open = self.queue.open(part.id).is_some();
            let bare = if part.state.is_final() { part.state } else { part.shown(open, now) };
            Some(RecipientRecord {
                status: part.recipient(address, bare),
                address: address.as_str().to_owned(),
                delivery: part.id,
            })
        };
        stored.recipients.iter().filter_map(record).collect()
    }

    fn waiting(&self, stored: &Stored, now: SystemTime) -> Option<Waiting> {
        let waits = |part: &&Part| !part.state.is_final() && self.queue.open(part.id).is_none();
        let part = stored.parts.iter().filter(waits).min_by_key(|part| part.due)?;
        if let Some(parked) = self.queue.waiting(key_of(stored.row, part.number)) {
            return Some(parked);
        }
        let scheduled = part.state == Status::Scheduled && part.due > now;
        let reason = part.reason.clone().or(scheduled.then(|| "it is scheduled".to_owned()))?;
        Some(Waiting { reason, until: part.asking.unwrap_or(part.due) })
    }

    pub(super) fn search(&self, search: &Search, now: SystemTime) -> Page {
        let before = search.cursor.map_or(i64::MAX, |cursor| cursor.0);
        let mut page = Page { messages: Vec::new(), next: None };
        let mut last = None;
        for (row, stored) in self.messages.range(..before).rev() {
            if !is_wanted(stored, search) {
                continue;
            }
            let summary = self.summary(stored, now);
            if search.status.is_some_and(|status| status != summary.status) {
                continue;
            }
            if page.messages.len() == search.page_size() {
                page.next = last.map(Cursor);
                break;
            }
            page.messages.push(summary);
            last = Some(*row);
        }
        page
    }

    pub(super) fn stats(&self, lanes: &[Arc<Lane>], now: SystemTime) -> Stats {
        let mut stats = Stats {
            open_attempts: self.queue.all_open().count() as u64,
            doubtful_attempts: self
                .messages
                .values()
                .flat_map(|stored| &stored.parts)
                .map(Part::open_doubts)
                .sum(),
            possible_duplicates: self.possible_duplicates,
            confirmed_duplicates: self.confirmed_duplicates,
            ..Stats::default()
        };
        for lane in lanes {
            let mut states = BTreeMap::<Status, u64>::new();
            let mut oldest: Option<SystemTime> = None;
            for stored in self.messages.values().filter(|stored| stored.lane_name == lane.name) {
                let status = self.face(stored, now).status;
                *states.entry(status).or_default() += 1;
                let since =
                    stored.send_at.map_or(stored.accepted_at, |at| at.max(stored.accepted_at));
                if !status.is_final() && since <= now {
                    oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
                }
            }
            stats.lanes.push(LaneStats { lane: lane.name.clone(), states, oldest });
        }
        stats
    }

    pub(super) fn audit(&self, now: SystemTime) -> Audit {
        let known: HashSet<i64> = self.queue.keys();
        let mut audit = Audit { accepted: self.accepted, purged: self.purged, ..Audit::default() };
        for stored in self.messages.values() {
            *audit.states.entry(self.face(stored, now).status).or_default() += 1;
            let lost = |part: &&Part| {
                !part.state.is_final() && !known.contains(&key_of(stored.row, part.number))
            };
            audit.stranded += stored.parts.iter().filter(lost).count() as u64;
        }
        audit
    }

    pub(super) fn open_attempt(
        &self,
        lanes: &[Arc<Lane>],
        epoch: u64,
        id: AttemptId,
    ) -> Option<OpenAttempt> {
        let unsettled = |one: &&Try| one.attempt.id == id && one.is_unsettled();
        let (stored, one) = self
            .messages
            .values()
            .find_map(|stored| Some((stored, stored.tries.iter().find(unsettled)?)))?;
        let part = stored.parts.iter().find(|part| part.id == one.attempt.delivery)?;
        let earlier =
            stored.tries_of(part.id).filter(|other| other.attempt.number < one.attempt.number);
        let part = part.before(one);
        let delivery = delivery(stored, &part, &lanes[stored.lane], epoch, earlier).ok()?;
        Some(OpenAttempt { attempt: one.attempt.clone(), delivery })
    }
}

fn delivery<'a>(
    stored: &Stored,
    part: &Part,
    lane: &Arc<Lane>,
    epoch: u64,
    tried: impl Iterator<Item = &'a Try>,
) -> Result<Delivery, String> {
    let email = stored.email.as_ref().ok_or_else(|| "its body is missing".to_owned())?;
    let email =
        if part.whole { Arc::clone(email) } else { Arc::new(part.narrow(email.as_ref().clone())?) };
    Ok(Delivery {
        id: part.id,
        email,
        lane: Arc::clone(lane),
        on_doubt: stored.on_doubt,
        deadline: part.deadline,
        route: stored.providers.clone(),
        epoch,
        history: tries::history(part, tried),
        awaiting: part.awaiting(),
        overruled: part.overruled > 0,
    })
}

fn is_wanted(stored: &Stored, search: &Search) -> bool {
    let lower = |text: &str| text.to_lowercase();
    let has_recipient = |wanted: &String| {
        stored.recipients.iter().any(|one| lower(one.as_str()) == lower(wanted.trim()))
    };
    let has_words = |q: &String| {
        let q = lower(q.trim());
        let mut texts = stored.recipients.iter().map(EmailAddress::as_str);
        q.parse::<MessageId>().is_ok_and(|id| id == stored.id)
            || lower(&stored.from).contains(&q)
            || lower(&stored.subject).contains(&q)
            || texts.any(|text| lower(text).contains(&q))
    };
    search.since.is_none_or(|since| stored.accepted_at >= since)
        && search.until.is_none_or(|until| stored.accepted_at < until)
        && search.tag.as_ref().is_none_or(|tag| stored.tags.contains(tag))
        && search.recipient.as_ref().is_none_or(has_recipient)
        && search.q.as_ref().is_none_or(has_words)
        && search
            .provider
            .as_ref()
            .is_none_or(|id| stored.tries.iter().any(|one| one.attempt.provider == *id))
}
