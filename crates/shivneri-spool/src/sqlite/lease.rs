//! Leasing: from keys that are due to deliveries that can be sent.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, OptionalExtension, params_from_iter};
use shivneri_core::{Delivery, OnDoubt, ProviderId, decision};
use tokio::sync::oneshot;

use super::{
    Shared, Sqlite,
    aside::Bad,
    codes::{self, FINAL},
    rows,
};
use crate::{
    Park, SpoolError, body,
    model::{
        Lease, Part,
        queue::{PART_BITS, micros},
        tries,
    },
};

/// Doubts that have run their course and leave nothing to try: those of `hold`, and those that
/// were sent again twice after strong doubt, as [`decision::overdue`] has it. Doubt that a
/// part has inherited lies before all of its own attempts.
const ENDED_DOUBTS: &str = "SELECT d.lane, d.key FROM deliveries d \
     INDEXED BY deliveries_doubtful \
     WHERE d.state < 10 AND d.doubts > 0 AND coalesce(d.asking + 20000000, d.due) <= ?1 AND d.deadline > ?1 AND ( \
       (SELECT m.on_doubt FROM messages m WHERE m.row = d.key >> 12) = ?2 \
       OR (SELECT count(*) FROM attempts a WHERE a.delivery = d.key AND a.repetition = 0 \
           AND a.past IN (4, 5) AND a.number > d.forgiven AND a.number > CASE \
             WHEN d.doubts > (SELECT count(*) FROM attempts o WHERE o.delivery = d.key \
                              AND o.past IN (4, 5) AND o.number > d.forgiven) THEN 0 \
             ELSE (SELECT min(s.number) FROM attempts s WHERE s.delivery = d.key \
                   AND s.past = 5 AND s.number > d.forgiven) END) >= 2)";
const OVERDUE: &str = "SELECT lane, key FROM deliveries INDEXED BY deliveries_deadline \
     WHERE state < 10 AND deadline <= ?1 ORDER BY deadline";

/// What a key's rows say.
enum Found {
    Due(Box<(Lease, Delivery)>),
    /// It is finished or gone.
    NotDue,
    /// It is not what it was leased for.
    Later(SystemTime),
    Damaged(String),
}

impl Sqlite {
    pub(super) async fn lease_due(
        &self,
        max: usize,
        now: SystemTime,
    ) -> Result<Vec<Delivery>, SpoolError> {
        self.shared.check()?;
        let keys = self.shared.queue().take(max, now);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("lease.taken");
        self.lease_with(move |shared| shared.read_leases(&keys, now, Need::Due)).await
    }

    pub(super) async fn lease_decidable(
        &self,
        max: usize,
        now: SystemTime,
    ) -> Result<Vec<Delivery>, SpoolError> {
        self.shared.check()?;
        self.lease_with(move |shared| {
            let mut keys = shared.read(|conn| shared.decidable(conn, max, now))?;
            {
                let mut queue = shared.queue();
                keys.retain(|(_, key)| queue.claim(*key));
            }
            shared.read_leases(&keys, now, Need::Decision)
        })
        .await
    }

    /// Reads leases off the runtime, and sets aside what is damaged.
    async fn lease_with(
        &self,
        read: impl FnOnce(&Shared) -> Result<Leased, SpoolError> + Send + 'static,
    ) -> Result<Vec<Delivery>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let (send, receive) = oneshot::channel();
        // Owned by its receiver: where that is gone, the leases are given back.
        tokio::task::spawn_blocking(move || {
            if let Err(Ok((unwanted, _))) = send.send(read(&shared)) {
                let until = shared.clock.now();
                let reason = "it was leased to nobody".to_owned();
                for delivery in unwanted {
                    shared.queue().release(delivery.id, Park { until, reason: reason.clone() });
                }
                shared.earlier.notify_one();
            }
        });
        let gone = |_| SpoolError::Read { reason: "the reader stopped unexpectedly".into() };
        let (leased, damaged) = receive.await.map_err(gone)??;
        self.set_claimed_aside(damaged).await;
        Ok(leased)
    }
}

/// What a delivery is leased for.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// To be sent.
    Due,
    /// To be decided on: its time is over, or its wait after a doubt that leaves nothing to try.
    Decision,
}

impl Need {
    fn holds(self, part: &Part, now: SystemTime) -> bool {
        !part.state.is_final()
            && match self {
                Self::Due => part.due <= now,
                Self::Decision => part.deadline <= now || (part.doubts > 0 && part.due <= now),
            }
    }

    fn is_met_by(self, delivery: &Delivery, now: SystemTime) -> bool {
        match self {
            Self::Due => true,
            Self::Decision => decision::overdue(delivery, now).is_some(),
        }
    }
}

type Leased = (Vec<Delivery>, Vec<Bad>);

impl Shared {
    fn read_leases(
        &self,
        keys: &[(usize, i64)],
        now: SystemTime,
        need: Need,
    ) -> Result<Leased, SpoolError> {
        let found = self.read(|conn| {
            keys.iter().map(|(lane, key)| self.read_lease(conn, *lane, *key, now, need)).collect()
        });
        let found: Vec<Found> = match found {
            Ok(found) => found,
            Err(error) => {
                let mut queue = self.queue();
                for (lane, key) in keys {
                    queue.put_back(*lane, now + Duration::from_secs(1), *key);
                }
                return Err(error);
            }
        };
        let (mut leased, mut damaged) = (Vec::new(), Vec::new());
        let mut queue = self.queue();
        for ((lane, key), found) in keys.iter().zip(found) {
            if !queue.holds(*lane, *key, now) {
                continue;
            }
            match found {
                Found::Due(both) => {
                    let (lease, delivery) = *both;
                    if queue.lease(lease) {
                        leased.push(delivery);
                    }
                }
                Found::NotDue => queue.forget(*key),
                Found::Later(due) => queue.put_back(*lane, due, *key),
                Found::Damaged(reason) => {
                    damaged.push(Bad { lane: Some(*lane), key: *key, reason });
                }
            }
        }
        Ok((leased, damaged))
    }

    fn read_lease(
        &self,
        conn: &Connection,
        lane: usize,
        key: i64,
        now: SystemTime,
        need: Need,
    ) -> rusqlite::Result<Found> {
        match self.try_read_lease(conn, lane, key, now, need) {
            Err(error) if codes::is_damage(&error) => Ok(Found::Damaged(error.to_string())),
            other => other,
        }
    }

    /// The key and lane of what needs a decision.
    fn decidable(
        &self,
        conn: &Connection,
        max: usize,
        now: SystemTime,
    ) -> rusqlite::Result<Vec<(usize, i64)>> {
        let mut keys = Vec::new();
        // Doubts first, for at most half of the room: neither kind keeps out the other.
        for (sql, room) in [(ENDED_DOUBTS, max.div_ceil(2)), (OVERDUE, max)] {
            let mut statement = conn.prepare_cached(sql)?;
            let hold = codes::of_on_doubt(OnDoubt::Hold);
            let values = [micros(now), hold].into_iter().take(statement.parameter_count());
            let mut found = statement.query(params_from_iter(values))?;
            while keys.len() < room
                && let Some(row) = found.next()?
            {
                let key = row.get(1)?;
                // What somebody has already takes up no room.
                if let Some(lane) = self.lanes.index(row.get(0)?)
                    && !self.queue().is_claimed(key)
                {
                    keys.push((lane, key));
                }
            }
        }
        Ok(keys)
    }

    fn try_read_lease(
        &self,
        conn: &Connection,
        lane: usize,
        key: i64,
        now: SystemTime,
        need: Need,
    ) -> rusqlite::Result<Found> {
        let state: Option<i64> = conn
            .prepare_cached("SELECT state FROM deliveries WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if state.is_none_or(|state| state >= FINAL) {
            return Ok(Found::NotDue);
        }
        let row = key >> PART_BITS;
        let Some(message) = rows::message_at(conn, row)? else {
            return Ok(Found::Damaged("its message is missing".into()));
        };
        let Some(bytes) = rows::body(conn, row)? else {
            return Ok(Found::Damaged("its body is missing".into()));
        };
        let email = match body::decode(bytes) {
            Ok(email) => email,
            Err(error) => return Ok(Found::Damaged(error.to_string())),
        };
        // The other parts count only by their number: a damaged one holds up nobody but itself.
        let alone = rows::keys(conn, row)?.len() == 1;
        let Some(part) = rows::part(conn, key, message.id, email.envelope().recipients())? else {
            return Ok(Found::NotDue);
        };
        if !need.holds(&part, now) {
            return Ok(Found::Later(part.due));
        }
        let email = match part.narrow(email) {
            Ok(email) => email,
            Err(reason) => return Ok(Found::Damaged(reason)),
        };
        let history = if part.attempts == 0 && part.doubts == 0 {
            Vec::new()
        } else {
            tries::history(&part, &rows::tries(conn, row, message.id, &part)?)
        };
        let delivery = Delivery {
            id: part.id,
            email: Arc::new(email),
            lane: Arc::clone(&self.lanes.rules[lane]),
            on_doubt: message.on_doubt,
            deadline: part.deadline,
            route: message.route()?.map(Arc::<[ProviderId]>::from),
            epoch: self.epoch,
            history,
            awaiting: part.awaiting(),
            overruled: part.overruled > 0,
        };
        if !need.is_met_by(&delivery, now) {
            return Ok(Found::Later(part.due));
        }
        let lease = Lease { key, lane, part, alone, open: None, settled: false, outdated: false };
        Ok(Found::Due(Box::new((lease, delivery))))
    }
}
