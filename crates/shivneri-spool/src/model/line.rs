//! What is due, lane by lane, and whose turn it is.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Times and keys, the earliest first.
type Heap = BinaryHeap<Reverse<(i64, i64)>>;

/// One in so many that are taken may have been held before: what is looked at only to be held
/// again must keep no other mail from its turn.
pub(super) const HELD_SHARE: usize = 4;

/// All lanes.
#[derive(Debug)]
pub(super) struct Lines {
    lanes: Vec<Line>,
    /// Counts those taken while both kinds were due.
    turn: usize,
}

#[derive(Debug)]
struct Line {
    rank: u8,
    due: Heap,
    /// What was given back because nobody could take it.
    held: Heap,
    credit: i32,
}

/// What was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) lane: usize,
    pub(super) due: i64,
    pub(super) key: i64,
    pub(super) is_held: bool,
}

impl Lines {
    pub(super) fn new(ranks: impl Iterator<Item = u8>) -> Self {
        let line = |rank| Line { rank, due: Heap::new(), held: Heap::new(), credit: 0 };
        Self { lanes: ranks.map(line).collect(), turn: 0 }
    }

    /// Adds a key; whether the next due time became earlier by it.
    pub(super) fn push(&mut self, lane: usize, due: i64, key: i64) -> bool {
        let earlier = self.first().is_none_or(|first| due < first);
        self.lanes[lane].due.push(Reverse((due, key)));
        earlier
    }

    /// Adds a key that nobody could take.
    pub(super) fn hold(&mut self, lane: usize, due: i64, key: i64) -> bool {
        let earlier = self.first().is_none_or(|first| due < first);
        self.lanes[lane].held.push(Reverse((due, key)));
        earlier
    }

    /// Takes the one whose turn it is. `may_hold` allows one that was held before.
    pub(super) fn pop(&mut self, now: i64, may_hold: bool) -> Option<Next> {
        let held = if may_hold { self.held_longest(now) } else { None };
        let is_held = match (held, self.is_any_due(now)) {
            (None, _) => false,
            (Some(_), false) => true,
            (Some(_), true) => {
                self.turn = (self.turn + 1) % HELD_SHARE;
                self.turn == 0
            }
        };
        let (lane, heap) = match held.filter(|_| is_held) {
            Some(lane) => (lane, &mut self.lanes[lane].held),
            None => {
                let lane = self.next_lane(now)?;
                (lane, &mut self.lanes[lane].due)
            }
        };
        let Reverse((due, key)) = heap.pop()?;
        Some(Next { lane, due, key, is_held })
    }

    /// The lane of what has been held longest. No lane goes before another here: who is held in
    /// an urgent one may wait for somebody else.
    fn held_longest(&self, now: i64) -> Option<usize> {
        let first = |lane: usize| self.lanes[lane].held.peek().map(|Reverse((due, _))| *due);
        (0..self.lanes.len())
            .filter_map(|lane| first(lane).map(|due| (due, lane)))
            .filter(|(due, _)| *due <= now)
            .min()
            .map(|(_, lane)| lane)
    }

    fn is_any_due(&self, now: i64) -> bool {
        self.lanes.iter().any(|line| is_due(&line.due, now))
    }

    /// The urgent lanes first; the others share, a lane of rank 1 three times as often as one
    /// below it.
    fn next_lane(&mut self, now: i64) -> Option<usize> {
        let ready: Vec<usize> =
            (0..self.lanes.len()).filter(|lane| is_due(&self.lanes[*lane].due, now)).collect();
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

    /// When the next one is due.
    pub(super) fn first(&self) -> Option<i64> {
        let heaps = self.lanes.iter().flat_map(|line| [&line.due, &line.held]);
        heaps.filter_map(|heap| heap.peek()).map(|Reverse((due, _))| *due).min()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = i64> {
        let all = self.lanes.iter().flat_map(|line| line.due.iter().chain(&line.held));
        all.map(|Reverse((_, key))| *key)
    }
}

fn is_due(heap: &Heap, now: i64) -> bool {
    heap.peek().is_some_and(|Reverse((due, _))| *due <= now)
}
