use std::collections::VecDeque;

use super::{ActiveSet, Admission, Candidate, Pick, Reason, Scheduler};
use crate::draws::Draws;

/// After the O(1) scheduler of Linux 2.6: an active and an expired array of queues by level, a
/// bitmap that tells which levels hold anyone, and each provider's weight as its time slice.
///
/// Within a round the faster levels go first; who has used up its slice goes to the expired
/// array with a new one, and when the active array is empty the two change places. So each
/// provider has its weight's share of every round, and no level starves.
#[derive(Debug, Default)]
pub struct O1 {
    version: Option<u64>,
    active: Levels,
    expired: Levels,
    /// Picks left in this round, by candidate.
    slices: Vec<u32>,
}

const LEVELS: usize = 64;

/// Queues of candidates by level; bit `n` is set where level `n` holds anyone.
#[derive(Debug)]
struct Levels {
    bitmap: u64,
    queues: Vec<VecDeque<usize>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { bitmap: 0, queues: vec![VecDeque::new(); LEVELS] }
    }
}

impl Levels {
    fn push(&mut self, level: usize, index: usize) {
        self.queues[level].push_back(index);
        self.bitmap |= 1 << level;
    }

    fn pop(&mut self, level: usize) -> Option<usize> {
        let index = self.queues[level].pop_front();
        if self.queues[level].is_empty() {
            self.bitmap &= !(1 << level);
        }
        index
    }

    fn clear(&mut self) {
        self.bitmap = 0;
        self.queues.iter_mut().for_each(VecDeque::clear);
    }
}

/// One level for each doubling of the expected wait of an idle provider.
fn level_of(candidate: &Candidate) -> usize {
    (candidate.load().expected_wait(1).max(1).ilog2() as usize).min(LEVELS - 1)
}

/// Weight times share, its fraction decided by chance; a recovering one may sit out a round.
fn slice_of(candidate: &Candidate, draws: &mut Draws) -> u32 {
    let thousandths = u64::from(candidate.weight()) * u64::from(candidate.load().share_permille());
    let whole = (thousandths / 1000) as u32;
    whole + u32::from(draws.chance((thousandths % 1000) as u32))
}

impl O1 {
    fn rebuild(&mut self, active: &ActiveSet, draws: &mut Draws) {
        self.version = Some(active.version());
        self.active.clear();
        self.expired.clear();
        self.slices = active.candidates().iter().map(|c| slice_of(c, draws)).collect();
        for candidate in active.candidates() {
            self.active.push(level_of(candidate), candidate.index());
        }
    }

    /// The next of the active array that may take it; those passed over keep their place in line.
    fn next_active(
        &mut self,
        set: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draws: &mut Draws,
    ) -> Option<Pick> {
        let mut left = self.active.bitmap;
        while left != 0 {
            let level = left.trailing_zeros() as usize;
            left &= left - 1;
            for _ in 0..self.active.queues[level].len() {
                let Some(index) = self.active.pop(level) else { break };
                let candidate = &set.candidates()[index];
                if self.slices[index] == 0 {
                    self.expire(candidate, draws);
                } else if admits(candidate).is_granted() {
                    let left = self.slices[index];
                    self.slices[index] -= 1;
                    if left == 1 {
                        self.expire(candidate, draws);
                    } else {
                        self.active.push(level, index);
                    }
                    return Some(Pick { index, reason: Reason::Slice { left } });
                } else {
                    self.active.push(level, index);
                }
            }
        }
        None
    }

    fn expire(&mut self, candidate: &Candidate, draws: &mut Draws) {
        self.slices[candidate.index()] = slice_of(candidate, draws);
        self.expired.push(level_of(candidate), candidate.index());
    }

    /// Begins a round: the expired join those that could not take anything in the last one.
    fn turn(&mut self) {
        std::mem::swap(&mut self.active, &mut self.expired);
        while self.expired.bitmap != 0 {
            let level = self.expired.bitmap.trailing_zeros() as usize;
            while let Some(index) = self.expired.pop(level) {
                self.active.push(level, index);
            }
        }
    }
}

impl Scheduler for O1 {
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draw: u64,
    ) -> Option<Pick> {
        let mut draws = Draws::new(draw);
        if self.version != Some(active.version()) {
            self.rebuild(active, &mut draws);
        }
        if let Some(pick) = self.next_active(active, admits, &mut draws) {
            return Some(pick);
        }
        self.turn();
        if let Some(pick) = self.next_active(active, admits, &mut draws) {
            return Some(pick);
        }
        // Only recovering ones may take it, and all of them sit this round out.
        let found = active.candidates().iter().find(|c| admits(c).is_granted())?;
        Some(Pick::new(found.index(), "recovering, and the only one that may take it"))
    }
}
