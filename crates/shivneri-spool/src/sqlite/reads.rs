//! Reading: one message, counts, the audit, events.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use shivneri_core::{
    AgentId, AttemptId, Delivery, EmailAddress, LaneName, MessageId, ProviderId, UnsettledAttempt,
};
use uuid::Uuid;

use super::{Shared, body_of, codes, damaged, ledger::TRAIL, rows, rows::MessageRow};
use crate::{
    Event, LaneStats, MessageRecord, OpenAttempt, RecipientRecord, Stats, Status, Summary, Waiting,
    model::{
        Part, message,
        queue::{PART_BITS, from_micros, key_of, micros},
        tries,
    },
};

impl Shared {
    /// A lane's name; a word for one that never was.
    fn lane_shown(&self, id: i64) -> rusqlite::Result<LaneName> {
        match self.lanes.names.get(&id) {
            Some(name) => Ok(name.clone()),
            None => codes::parsed("unknown"),
        }
    }

    pub(super) fn summary(
        &self,
        message: &MessageRow,
        parts: &[Part],
        now: SystemTime,
    ) -> rusqlite::Result<Summary> {
        let face = {
            let queue = self.queue();
            message::face(parts, |part| queue.open(part.id).is_some(), now)
        };
        let latest = parts.iter().max_by_key(|part| part.changed_at);
        Ok(Summary {
            id: message.id,
            status: face.status,
            in_doubt: face.in_doubt,
            possible_duplicate: parts.iter().any(|part| part.resent),
            lane: self.lane_shown(message.lane)?,
            door: message.door.clone(),
            owner: message.owner.clone(),
            from: message.sender.clone(),
            recipients: codes::lines(&message.recipients).map(str::to_owned).collect(),
            subject: message.subject.clone(),
            tags: codes::lines(&message.tags).map(str::to_owned).collect(),
            provider: latest.and_then(|part| part.provider.clone()),
            accepted_at: message.accepted_at,
            changed_at: latest.map_or(message.accepted_at, |part| part.changed_at),
        })
    }

    pub(super) fn record(
        &self,
        conn: &Connection,
        id: MessageId,
        now: SystemTime,
    ) -> rusqlite::Result<Option<MessageRecord>> {
        let Some(message) = damaged::message(conn, id)? else { return Ok(None) };
        let parts = damaged::parts(conn, &message)?;
        let mut attempts = Vec::new();
        for part in &parts {
            attempts.extend(damaged::tries(conn, &message, part)?);
        }
        attempts.sort_by_key(|one| one.attempt.started_at);
        let mut summary = self.summary(&message, &parts, now)?;
        summary.possible_duplicate |= attempts.iter().any(|one| one.attempt.possible_duplicate);
        let deadline = parts.iter().map(|part| part.deadline).max();
        Ok(Some(MessageRecord {
            email: body_of(conn, message.row)?.map(Arc::new),
            send_at: message.send_at,
            deadline: deadline.unwrap_or(message.accepted_at),
            on_doubt: message.on_doubt,
            // In a damaged row it may be anything.
            providers: message.route().unwrap_or_default(),
            recipients: self.recipients(&message, &parts, now),
            attempts: attempts.iter().map(tries::Try::record).collect(),
            events: events_of(conn, &message)?,
            waiting: self.waiting(message.row, &parts, now),
            summary,
        }))
    }

    /// In the order in which the message names them.
    fn recipients(
        &self,
        message: &MessageRow,
        parts: &[Part],
        now: SystemTime,
    ) -> Vec<RecipientRecord> {
        let queue = self.queue();
        let mut records = Vec::new();
        let addresses = codes::lines(&message.recipients).filter_map(|line| line.parse().ok());
        for address in addresses {
            let address: EmailAddress = address;
            let has = |part: &&Part| part.recipients.iter().any(|one| one.same_mailbox(&address));
            let Some(part) = parts.iter().find(has) else { continue };
            let open = queue.open(part.id).is_some();
            let bare = if part.state.is_final() { part.state } else { part.shown(open, now) };
            records.push(RecipientRecord {
                status: part.recipient(&address, bare),
                address: address.as_str().to_owned(),
                delivery: part.id,
            });
        }
        records
    }

    fn waiting(&self, row: i64, parts: &[Part], now: SystemTime) -> Option<Waiting> {
        let queue = self.queue();
        let waits = |part: &&Part| !part.state.is_final() && queue.open(part.id).is_none();
        let part = parts.iter().filter(waits).min_by_key(|part| part.due)?;
        if let Some(parked) = queue.waiting(key_of(row, part.number)) {
            return Some(parked);
        }
        let reason = match &part.reason {
            Some(reason) => reason.clone(),
            None if part.state == Status::Scheduled && part.due > now => "it is scheduled".into(),
            None => return None,
        };
        Some(Waiting { reason, until: part.asking.unwrap_or(part.due) })
    }

    pub(super) fn stats(&self, conn: &Connection, now: SystemTime) -> rusqlite::Result<Stats> {
        let tally = self.tally();
        let mut scheduled = BTreeMap::<i64, u64>::new();
        let mut statement = conn.prepare_cached(
            "SELECT lane, count(*) FROM deliveries INDEXED BY deliveries_scheduled \
             WHERE state = 0 AND due > ?1 GROUP BY lane",
        )?;
        let mut found = statement.query([micros(now)])?;
        while let Some(row) = found.next()? {
            scheduled.insert(row.get(0)?, row.get::<_, i64>(1)? as u64);
        }
        let sending = self.sending(conn)?;
        let open = self.queue().all_open().count() as u64;
        let mut lanes = Vec::new();
        for (id, name) in &self.lanes.names {
            let counts = tally.counts.range((*id, Status::Scheduled)..=(*id, Status::Damaged));
            let mut states: BTreeMap<Status, u64> =
                counts.map(|((_, status), count)| (*status, *count)).collect();
            let queued = states.remove(&Status::Queued).unwrap_or_default();
            let later = scheduled.get(id).copied().unwrap_or_default();
            let busy = sending.iter().filter(|(_, lane)| lane == id).count() as u64;
            states.insert(Status::Scheduled, later);
            states.insert(Status::Sending, busy);
            states.insert(Status::Queued, queued.saturating_sub(later + busy));
            states.retain(|_, count| *count > 0);
            if states.is_empty() && self.lanes.index(*id).is_none() {
                continue;
            }
            let oldest = if queued > 0 { oldest(conn, *id, now)? } else { None };
            lanes.push(LaneStats { lane: name.clone(), states, oldest });
        }
        Ok(Stats {
            lanes,
            open_attempts: open,
            doubtful_attempts: tally.doubtful,
            possible_duplicates: tally.possible_duplicates,
            confirmed_duplicates: tally.confirmed_duplicates,
        })
    }

    /// Messages with an attempt that is open or in doubt, and not finished, with their lanes.
    fn sending(&self, conn: &Connection) -> rusqlite::Result<HashSet<(i64, i64)>> {
        let mut sending: HashSet<(i64, i64)> = conn
            .prepare_cached(
                "SELECT key >> 12, lane FROM deliveries INDEXED BY deliveries_doubtful \
                 WHERE doubts > 0 AND state < 10",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let queue = self.queue();
        let open = queue.all_sending().map(|(key, lane)| (key >> PART_BITS, self.lanes.ids[lane]));
        sending.extend(open);
        Ok(sending)
    }

    pub(super) fn open_attempt(
        &self,
        conn: &Connection,
        id: AttemptId,
    ) -> rusqlite::Result<Option<OpenAttempt>> {
        let Some(which) = rows::unsettled_try(conn, id)? else { return Ok(None) };
        let (message, part, mut tries) = match rows::of_attempt(conn, which.key) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) if codes::is_damage(&error) => {
                tracing::warn!(attempt = %id, %error, "the record of an attempt is damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let row = message.row;
        let Some(lane) = self.lanes.index(message.lane) else { return Ok(None) };
        let Some(at) = tries.iter().position(|one| one.attempt.id == id) else {
            return Ok(None);
        };
        let one = tries.remove(at);
        tries.truncate(at);
        let before = part.before(&one);
        // Without its body it can't be sent again, but what became of it can still be settled.
        let email = match body_of(conn, row)?.and_then(|email| part.narrow(email).ok()) {
            Some(email) => email,
            None => match stand_in(&message, &part) {
                Some(email) => email,
                None => return Ok(None),
            },
        };
        let delivery = Delivery {
            id: part.id,
            email: Arc::new(email),
            lane: Arc::clone(&self.lanes.rules[lane]),
            on_doubt: message.on_doubt,
            deadline: part.deadline,
            route: message.route()?.map(Arc::<[ProviderId]>::from),
            epoch: self.epoch,
            history: tries::history(&before, &tries),
            awaiting: None,
            overruled: before.overruled > 0,
        };
        Ok(Some(OpenAttempt { attempt: one.attempt, delivery }))
    }
}

/// An email with the addresses of one whose body is gone.
fn stand_in(message: &MessageRow, part: &Part) -> Option<shivneri_core::Email> {
    let from = message.sender.parse().ok()?;
    let email = shivneri_core::Email::builder(from).id(message.id).text("");
    let to = |email: shivneri_core::email::EmailBuilder, address: &EmailAddress| {
        email.bcc(address.clone().into())
    };
    part.recipients.iter().fold(email, to).build().ok()
}

/// When the oldest unfinished message that may be sent became so. Looks past scheduled ones, but
/// not for ever.
fn oldest(conn: &Connection, lane: i64, now: SystemTime) -> rusqlite::Result<Option<SystemTime>> {
    const SQL: &str = "SELECT min(since) FROM (\
         SELECT max(m.accepted_at, coalesce(m.send_at, 0)) AS since \
         FROM deliveries d INDEXED BY deliveries_unfinished JOIN messages m ON m.row = d.key >> 12 \
         WHERE d.state < 10 AND d.lane = ?1 ORDER BY d.key LIMIT 1000) WHERE since <= ?2";
    let since: Option<i64> =
        conn.prepare_cached(SQL)?.query_row(params![lane, micros(now)], |row| row.get(0))?;
    Ok(since.map(from_micros))
}

fn events_of(conn: &Connection, message: &MessageRow) -> rusqlite::Result<Vec<Event>> {
    let is_scheduled = message.send_at.is_some_and(|at| at > message.accepted_at);
    let event =
        |status, in_doubt, at| Event { sequence: 0, message: message.id, status, in_doubt, at };
    let first = if is_scheduled { Status::Scheduled } else { Status::Queued };
    let mut events = vec![event(first, false, message.accepted_at)];
    let trail: Option<Option<Vec<u8>>> = conn
        .prepare_cached("SELECT trail FROM deliveries WHERE key = ?1")?
        .query_row([key_of(message.row, 0)], |row| row.get(0))
        .optional()?;
    let trail = trail.flatten().unwrap_or_default();
    let (entries, _) = trail.as_chunks::<TRAIL>();
    for [status, in_doubt, at @ ..] in entries {
        let Ok(status) = codes::status(i64::from(*status)) else { continue };
        events.push(event(status, *in_doubt != 0, from_micros(i64::from_le_bytes(*at))));
    }
    Ok(events)
}

/// An event that can't be read is passed over: whoever follows would wait for it for ever.
pub(super) fn events(conn: &Connection, after: u64, max: usize) -> rusqlite::Result<Vec<Event>> {
    const SQL: &str = "SELECT e.sequence, e.message, m.id, e.status, e.in_doubt, e.at FROM events e \
         JOIN messages m ON m.row = e.message WHERE e.sequence > ?1 ORDER BY e.sequence";
    let mut statement = conn.prepare_cached(SQL)?;
    let mut found = statement.query([after as i64])?;
    let mut events = Vec::new();
    while events.len() < max
        && let Some(row) = found.next()?
    {
        match event(row) {
            Err(error) if codes::is_damage(&error) => {
                tracing::warn!(%error, "the record of an event is damaged");
            }
            other => events.push(other?),
        }
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        sequence: row.get::<_, i64>(0)? as u64,
        message: damaged::id(row, 2, row.get(1)?)?,
        status: codes::status(row.get(3)?)?,
        in_doubt: row.get(4)?,
        at: from_micros(row.get(5)?),
    })
}

pub(super) fn unsettled(
    conn: &Connection,
    agent: &AgentId,
) -> rusqlite::Result<Vec<UnsettledAttempt>> {
    const SQL: &str = "SELECT id, generation, journal FROM attempts \
         WHERE unsettled > 0 AND agent = ?1 AND journal IS NOT NULL ORDER BY id";
    conn.prepare_cached(SQL)?
        .query_map([agent.as_str()], |row| {
            Ok(UnsettledAttempt {
                id: AttemptId::from_uuid(Uuid::from_bytes(row.get(0)?)),
                generation: row.get::<_, i64>(1)? as u64,
                journal: Uuid::from_bytes(row.get(2)?),
            })
        })?
        .collect()
}
