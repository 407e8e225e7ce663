//! What is due and what is leased: the spool's memory of unfinished mail, about 16 bytes for each
//! delivery that waits.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::{Duration, SystemTime},
};

use shivneri_core::{AttemptId, DeliveryId, Lane};

use super::Part;
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
}

/// The due and the leased.
///
/// Entries are not removed from the middle: one that no longer holds is passed over when its
/// turn comes, because its row says so.
#[derive(Debug)]
pub(crate) struct Queue {
    lanes: Vec<Line>,
    /// Taken out to be leased, and leased.
    taken: HashSet<i64>,
    /// Taken, and changed before its lease was made: what was read of it no longer holds.
    stale: HashSet<i64>,
    leases: HashMap<DeliveryId, Lease>,
    parked: HashMap<i64, (usize, Park)>,
}

#[derive(Debug)]
struct Line {
    rank: u8,
    due: BinaryHeap<Reverse<(i64, i64)>>,
    credit: i32,
}

impl Queue {
    pub(crate) fn new<'a>(lanes: impl IntoIterator<Item = &'a Lane>) -> Self {
        let line = |lane: &Lane| Line { rank: lane.rank, due: BinaryHeap::new(), credit: 0 };
        Self {
            lanes: lanes.into_iter().map(line).collect(),
            taken: HashSet::new(),
            stale: HashSet::new(),
            leases: HashMap::new(),
            parked: HashMap::new(),
        }
    }

    /// Adds a delivery; whether the next due time became earlier by it.
    pub(crate) fn push(&mut self, lane: usize, due: SystemTime, key: i64) -> bool {
        let due = micros(due);
        let earlier = self.first().is_none_or(|first| due < first);
        self.lanes[lane].due.push(Reverse((due, key)));
        earlier
    }

    /// Takes at most `max` keys that are due, with their lanes. Each must be
    /// [leased](Self::lease) or [dropped](Self::forget) by the caller.
    pub(crate) fn take(&mut self, max: usize, now: SystemTime) -> Vec<(usize, i64)> {
        let now = micros(now);
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(lane) = self.next_lane(now) else { break };
            let Some(Reverse((due, key))) = self.lanes[lane].due.pop() else { break };
            // Parked later than this entry was made.
            if self.parked.get(&key).is_some_and(|(_, park)| micros(park.until) > due) {
                continue;
            }
            if self.claim(key) {
                taken.push((lane, key));
            }
        }
        taken
    }

    /// Takes a key out of its turn. Whether nobody else has it.
    pub(crate) fn claim(&mut self, key: i64) -> bool {
        let free = self.taken.insert(key);
        if free {
            self.parked.remove(&key);
        }
        free
    }

    /// The urgent lanes first; the others share, a lane of rank 1 three times as often as one
    /// below it.
    fn next_lane(&mut self, now: i64) -> Option<usize> {
        let is_due = |line: &Line| line.due.peek().is_some_and(|Reverse((due, _))| *due <= now);
        let ready: Vec<usize> =
            (0..self.lanes.len()).filter(|lane| is_due(&self.lanes[*lane])).collect();
        let first = ready.iter().copied().min_by_key(|lane| self.lanes[*lane].rank)?;
        if self.lanes[first].rank == 0 || ready.len() == 1 {
            return Some(first);
        }
        let mut whole = 0;
        for lane in &ready {
            let line = &mut self.lanes[*lane];
            let weight = if line.rank <= 1 { 3 } else { 1 };
            line.credit += weight;
            whole += weight;
        }
        let lane =
            ready.into_iter().max_by_key(|lane| (self.lanes[*lane].credit, Reverse(*lane)))?;
        self.lanes[lane].credit -= whole;
        Some(lane)
    }

    /// Keeps what a taken key's row said. Whether it still holds; otherwise it is due again.
    pub(crate) fn lease(&mut self, lease: Lease) -> bool {
        if self.stale.remove(&lease.key) {
            self.taken.remove(&lease.key);
            self.push(lease.lane, SystemTime::UNIX_EPOCH, lease.key);
            return false;
        }
        self.leases.insert(lease.part.id, lease);
        true
    }

    /// Puts back a lease that was changed while it was held.
    pub(crate) fn renew(&mut self, lease: Lease) {
        self.leases.insert(lease.part.id, lease);
    }

    /// A delivery that is not leased has changed.
    pub(crate) fn touch(&mut self, key: i64) {
        if self.taken.contains(&key) {
            self.stale.insert(key);
        }
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

    /// Ends a lease.
    pub(crate) fn end(&mut self, delivery: DeliveryId) -> Option<Lease> {
        let lease = self.leases.remove(&delivery)?;
        self.taken.remove(&lease.key);
        Some(lease)
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
        let until = park.until;
        self.parked.insert(lease.key, (lease.lane, park));
        self.push(lease.lane, until, lease.key)
    }

    /// Makes all that is parked due.
    pub(crate) fn unpark(&mut self) -> bool {
        let mut earlier = false;
        for (key, (lane, _)) in std::mem::take(&mut self.parked) {
            earlier |= self.push(lane, SystemTime::UNIX_EPOCH, key);
        }
        earlier
    }

    pub(crate) fn waiting(&self, key: i64) -> Option<Waiting> {
        let (_, park) = self.parked.get(&key)?;
        Some(Waiting { reason: park.reason.clone(), until: park.until })
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<SystemTime> {
        self.first().map(from_micros)
    }

    fn first(&self) -> Option<i64> {
        self.lanes.iter().filter_map(|line| line.due.peek()).map(|Reverse((due, _))| *due).min()
    }

    /// Every key it knows of: due, taken or leased.
    pub(crate) fn keys(&self) -> HashSet<i64> {
        let due = self.lanes.iter().flat_map(|line| &line.due).map(|Reverse((_, key))| *key);
        due.chain(self.taken.iter().copied()).collect()
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
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn queue() -> Queue {
        Queue::new([&Lane::critical(), &Lane::transactional(), &Lane::bulk()])
    }

    fn keys(queue: &mut Queue, max: usize, now: u64) -> Vec<i64> {
        queue.take(max, at(now)).into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn transactional_mail_goes_three_times_as_often_as_bulk() {
        let mut queue = queue();
        for key in 0..100 {
            queue.push(1, at(1), key);
            queue.push(2, at(0), 1000 + key);
        }
        let taken = keys(&mut queue, 80, 5);
        assert_eq!(taken.iter().filter(|key| **key < 1000).count(), 60);
    }

    #[test]
    fn the_next_due_time_is_told_when_it_becomes_earlier() {
        let mut queue = queue();
        assert!(queue.push(1, at(10), 1));
        assert!(!queue.push(2, at(11), 2));
        assert!(queue.push(0, at(9), 3));
        assert_eq!(queue.next_due(), Some(at(9)));
    }

    #[test]
    fn a_key_is_taken_once_however_often_it_was_added() {
        let mut queue = queue();
        for due in [3, 1, 2] {
            queue.push(1, at(due), 7);
        }
        assert_eq!(keys(&mut queue, 9, 5), [7]);
        assert!(!queue.claim(7));
        queue.put_back(1, at(8), 7);
        assert!(keys(&mut queue, 9, 7).is_empty());
        assert_eq!(keys(&mut queue, 9, 8), [7]);
    }

    #[test]
    fn what_changed_between_being_taken_and_leased_is_due_again() {
        let mut queue = queue();
        queue.push(1, at(1), 7);
        assert_eq!(keys(&mut queue, 9, 1), [7]);
        queue.touch(7);
        let part = Part::first(DeliveryId::new(), Vec::new(), at(1), at(9), at(1));
        let lease = Lease { key: 7, lane: 1, part, alone: true, open: None, settled: false };
        assert!(!queue.lease(lease.clone()), "what was read of it no longer holds");
        assert_eq!(keys(&mut queue, 9, 1), [7]);
        assert!(queue.lease(lease));
    }

    #[test]
    fn times_come_back_from_their_microseconds() {
        for time in [at(0), at(5), SystemTime::UNIX_EPOCH - Duration::from_micros(7)] {
            assert_eq!(from_micros(micros(time)), time);
        }
    }
}
