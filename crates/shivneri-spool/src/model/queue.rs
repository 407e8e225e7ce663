//! What is due and what is leased: the spool's memory of unfinished mail, about 16 bytes for each
//! delivery that waits.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use shivneri_core::{AttemptId, DeliveryId, Lane};

use super::{
    Part,
    line::{HELD_SHARE, Lines},
};
use crate::{Park, Waiting};

/// A delivery's key: the message's row and the part's number in the low bits.
pub(crate) const PART_BITS: u32 = 12;
/// Parts a message may have at most: one for each recipient.
pub(crate) const MAX_PARTS: usize = 1 << PART_BITS;

pub(crate) const fn key_of(message: i64, part: u16) -> i64 {
    (message << PART_BITS) | part as i64
}

/// A delivery that somebody works on.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) key: i64,
    pub(crate) lane: usize,
    pub(crate) part: Part,
    /// Whether the message has no other part.
    pub(crate) alone: bool,
    pub(crate) open: Option<AttemptId>,
    /// It became final by late evidence while it was leased: no further attempt may begin.
    pub(crate) settled: bool,
    /// Late evidence has moved it since it was leased: whoever has it decides on what no longer
    /// holds, and can only give it back.
    pub(crate) outdated: bool,
}

/// The due and the leased.
///
/// Entries are not removed from the middle: one that no longer holds is passed over when its
/// turn comes, because its row says so.
#[derive(Debug)]
pub(crate) struct Queue {
    lines: Lines,
    /// Taken out to be leased.
    taken: HashSet<i64>,
    leased: HashSet<i64>,
    /// Changed by a group that is not committed yet: what is read of them is old. With the lane
    /// and time of those that were to be leased meanwhile.
    changing: HashMap<i64, Option<(usize, SystemTime)>>,
    /// Changed by a commit after they were taken: what was read of them may be old.
    stale: HashSet<i64>,
    leases: HashMap<DeliveryId, Lease>,
    parked: HashMap<i64, (usize, Park)>,
    /// The latest time at which anything was taken.
    looked: i64,
}

impl Queue {
    pub(crate) fn new<'a>(lanes: impl IntoIterator<Item = &'a Lane>) -> Self {
        Self {
            lines: Lines::new(lanes.into_iter().map(|lane| lane.rank)),
            taken: HashSet::new(),
            leased: HashSet::new(),
            changing: HashMap::new(),
            stale: HashSet::new(),
            leases: HashMap::new(),
            parked: HashMap::new(),
            looked: i64::MIN,
        }
    }

    /// Adds a delivery; whether the next due time became earlier by it.
    pub(crate) fn push(&mut self, lane: usize, due: SystemTime, key: i64) -> bool {
        self.lines.push(lane, micros(due), key)
    }

    /// Takes at most `max` keys that are due, with their lanes; of those that were held before
    /// only a share. Each must be [leased](Self::lease) or [dropped](Self::forget) by the caller.
    pub(crate) fn take(&mut self, max: usize, now: SystemTime) -> Vec<(usize, i64)> {
        let now = micros(now);
        self.looked = self.looked.max(now);
        let mut held_left = (max / HELD_SHARE).max(1);
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(next) = self.lines.pop(now, held_left > 0) else { break };
            // Parked later than this entry was made.
            if self.parked.get(&next.key).is_some_and(|(_, park)| micros(park.until) > next.due) {
                continue;
            }
            if self.claim(next.key) {
                taken.push((next.lane, next.key));
                held_left -= usize::from(next.is_held);
            }
        }
        taken
    }

    /// Takes a key out of its turn. Whether nobody else has it.
    pub(crate) fn claim(&mut self, key: i64) -> bool {
        let free = !self.leased.contains(&key) && self.taken.insert(key);
        if free {
            self.parked.remove(&key);
        }
        free
    }

    /// Whether somebody has this key.
    pub(crate) fn is_claimed(&self, key: i64) -> bool {
        self.taken.contains(&key) || self.leased.contains(&key)
    }

    /// Whether what was read of a taken key still holds. Otherwise it is due again as soon as the
    /// change is committed.
    pub(crate) fn holds(&mut self, lane: usize, key: i64, due: SystemTime) -> bool {
        let stale = self.stale.remove(&key);
        if let Some(again) = self.changing.get_mut(&key) {
            *again = Some((lane, due));
        } else if stale {
            self.push(lane, due, key);
        } else {
            return true;
        }
        self.taken.remove(&key);
        false
    }

    /// Keeps what a taken key's row said. Whether it still [holds](Self::holds).
    pub(crate) fn lease(&mut self, lease: Lease) -> bool {
        let holds = self.holds(lease.lane, lease.key, lease.part.due);
        if holds {
            self.taken.remove(&lease.key);
            self.leased.insert(lease.key);
            self.leases.insert(lease.part.id, lease);
        }
        holds
    }

    /// Puts back a lease that was changed while it was held.
    pub(crate) fn renew(&mut self, lease: Lease) {
        self.leases.insert(lease.part.id, lease);
    }

    /// A delivery's row is changed by a group that is not committed yet.
    pub(crate) fn change(&mut self, key: i64) {
        self.changing.entry(key).or_default();
    }

    /// The group has been committed, or has failed: rows may be read again. Whether the next due
    /// time became earlier.
    pub(crate) fn committed(&mut self) -> bool {
        let mut earlier = false;
        for (key, again) in std::mem::take(&mut self.changing) {
            if self.taken.contains(&key) {
                self.stale.insert(key);
            }
            if let Some((lane, due)) = again {
                earlier |= self.push(lane, due, key);
            }
        }
        earlier
    }

    /// A taken key turned out to be none that is due.
    pub(crate) fn forget(&mut self, key: i64) {
        self.taken.remove(&key);
        self.stale.remove(&key);
    }

    /// The same, but it may be due at another time: its turn comes again then.
    pub(crate) fn put_back(&mut self, lane: usize, due: SystemTime, key: i64) {
        self.forget(key);
        self.push(lane, due, key);
    }

    pub(crate) fn leased(&mut self, delivery: DeliveryId) -> Option<&mut Lease> {
        self.leases.get_mut(&delivery)
    }

    /// The open attempt of a delivery.
    pub(crate) fn open(&self, delivery: DeliveryId) -> Option<AttemptId> {
        self.leases.get(&delivery).and_then(|lease| lease.open)
    }

    /// Deliveries with an open attempt, as keys and lanes.
    pub(crate) fn all_open(&self) -> impl Iterator<Item = (i64, usize)> {
        let open = self.leases.values().filter(|lease| lease.open.is_some());
        open.map(|lease| (lease.key, lease.lane))
    }

    /// Those of them that are being sent: late evidence has not made them final meanwhile.
    pub(crate) fn all_sending(&self) -> impl Iterator<Item = (i64, usize)> {
        let open = self.leases.values().filter(|lease| lease.open.is_some() && !lease.settled);
        open.map(|lease| (lease.key, lease.lane))
    }

    /// Ends a lease.
    pub(crate) fn end(&mut self, delivery: DeliveryId) -> Option<Lease> {
        let lease = self.leases.remove(&delivery)?;
        self.leased.remove(&lease.key);
        Some(lease)
    }

    /// Ends a lease whose row is changed by a group that is not committed yet.
    pub(crate) fn end_changed(&mut self, delivery: DeliveryId) {
        if let Some(lease) = self.end(delivery) {
            self.change(lease.key);
        }
    }

    /// A delivery became final from outside its lease, by its key: its lease ends with its open
    /// attempt, which is not the one that was `closed`, or at once.
    pub(crate) fn settle(&mut self, key: i64, closed: Option<AttemptId>) {
        let Some(lease) = self.leases.values_mut().find(|lease| lease.key == key) else { return };
        if lease.open.is_some() && lease.open != closed {
            lease.settled = true;
        } else {
            let id = lease.part.id;
            self.end(id);
        }
    }

    /// Ends an outdated lease; none where it is not outdated.
    pub(crate) fn end_outdated(&mut self, delivery: DeliveryId) -> Option<Lease> {
        self.leases.get(&delivery).filter(|lease| lease.outdated)?;
        self.end(delivery)
    }

    /// The same, by the delivery's key.
    pub(crate) fn end_outdated_at(&mut self, key: i64) -> Option<Lease> {
        let id = self.leases.values().find(|lease| lease.key == key)?.part.id;
        self.end_outdated(id)
    }

    /// Ends a lease unsettled; whether the next due time became earlier by it. One with an open
    /// attempt stays: only the attempt's end says what follows.
    pub(crate) fn release(&mut self, delivery: DeliveryId, park: Park) -> bool {
        if self.leases.get(&delivery).is_none_or(|lease| lease.open.is_some()) {
            return false;
        }
        let Some(lease) = self.end(delivery) else { return false };
        if lease.settled {
            return false;
        }
        if lease.outdated {
            return self.push(lease.lane, lease.part.due, lease.key);
        }
        let until = micros(park.until);
        self.parked.insert(lease.key, (lease.lane, park));
        self.lines.hold(lease.lane, until, lease.key)
    }

    /// Makes all that is parked due, as of when anything was taken last: among what is held, and
    /// not before what was due already.
    pub(crate) fn unpark(&mut self) -> bool {
        let mut earlier = false;
        for (key, (lane, park)) in std::mem::take(&mut self.parked) {
            earlier |= self.lines.hold(lane, micros(park.until).min(self.looked), key);
        }
        earlier
    }

    pub(crate) fn waiting(&self, key: i64) -> Option<Waiting> {
        let (_, park) = self.parked.get(&key)?;
        Some(Waiting { reason: park.reason.clone(), until: park.until })
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<SystemTime> {
        self.lines.first().map(from_micros)
    }

    /// Every key it knows of: due, taken or leased.
    pub(crate) fn keys(&self) -> HashSet<i64> {
        let again = self.changing.iter().filter(|(_, again)| again.is_some()).map(|(key, _)| key);
        let claimed = self.taken.iter().chain(&self.leased).chain(again).copied();
        self.lines.keys().chain(claimed).collect()
    }
}

/// A time as microseconds since 1970, as it is stored.
pub(crate) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

/// The time of so many microseconds since 1970.
pub(crate) fn from_micros(micros: i64) -> SystemTime {
    let length = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(length)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(length)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
