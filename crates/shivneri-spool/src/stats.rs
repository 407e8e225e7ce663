//! Counts: what the spool holds, whether it adds up, and how it fares.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use shivneri_core::LaneName;

use crate::Status;

/// What the spool holds at present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// By lane.
    pub lanes: Vec<LaneStats>,
    /// Attempts that were begun and have not ended.
    pub open_attempts: u64,
    /// Attempts that ended in doubt and that nothing has settled.
    pub doubtful_attempts: u64,
    /// Attempts ever begun while an earlier one of the delivery was in doubt, without the repetitions
    /// of a request by its key.
    pub possible_duplicates: u64,
    /// Mail known to have been taken twice, of the possible duplicates.
    pub confirmed_duplicates: u64,
}

impl Stats {
    /// How many messages may at present have been sent twice, or be sent twice yet.
    pub fn duplicates_bound(&self) -> u64 {
        self.open_attempts + self.doubtful_attempts
    }

    /// Messages that have not reached a final state.
    pub fn unfinished(&self) -> u64 {
        let lanes = self.lanes.iter().flat_map(|lane| &lane.states);
        lanes.filter(|(status, _)| !status.is_final()).map(|(_, count)| count).sum()
    }
}

/// What one lane holds.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneStats {
    /// The lane.
    pub lane: LaneName,
    /// Messages by status; those without any are left out.
    pub states: BTreeMap<Status, u64>,
    /// When the oldest message that is due and not finished was accepted or became due.
    pub oldest: Option<SystemTime>,
}

/// Whether every accepted message is somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Messages ever accepted, by a counter in the same commits.
    pub accepted: u64,
    /// Messages by status, counted one by one.
    pub states: BTreeMap<Status, u64>,
    /// Messages deleted past their retention, or erased.
    pub purged: u64,
    /// Messages with an unfinished status that nothing would ever send.
    pub stranded: u64,
}

impl Audit {
    /// Accepted messages that are nowhere, or are stranded: zero, or something is wrong.
    pub fn gap(&self) -> i64 {
        let found: u64 = self.states.values().sum();
        self.accepted as i64 - found as i64 - self.purged as i64 + self.stranded as i64
    }
}

/// How long finished mail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bodies, after the final state.
    pub body: Duration,
    /// Messages with all that is known of them, after the final state.
    pub message: Duration,
}

impl Default for Retention {
    /// Three days, thirty days.
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { body: 3 * day, message: 30 * day }
    }
}

/// How the spool fares.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoolHealth {
    /// Whether it works.
    pub state: SpoolState,
    /// Why it takes no new mail for now, where it doesn't.
    pub full: Option<String>,
    /// Its commits since it was opened.
    pub commits: Commits,
}

/// Whether the spool works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolState {
    /// It does.
    Open,
    /// A commit failed; it stopped for good.
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// It was closed.
    Closed,
}

/// Commits since the spool was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commits {
    /// Commits.
    pub commits: u64,
    /// Operations in them.
    pub operations: u64,
    /// The time they took together, the sync included.
    pub time: Duration,
    /// How many took no longer than the [`BOUNDS`](Self::BOUNDS) of the same index; the last
    /// counts those that took longer than all.
    pub buckets: [u64; 13],
}

impl Commits {
    /// Upper bounds of the buckets, in seconds.
    pub const BOUNDS: [f64; 12] =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

    /// Counts one commit.
    pub(crate) fn add(&mut self, operations: u64, took: Duration) {
        self.commits += 1;
        self.operations += operations;
        self.time += took;
        let bucket = Self::BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        self.buckets[bucket.unwrap_or(Self::BOUNDS.len())] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_that_adds_up_has_no_gap_and_a_stranded_message_makes_one() {
        let states = [(Status::Queued, 3), (Status::Accepted, 5)].into();
        let whole = Audit { accepted: 10, states, purged: 2, stranded: 0 };
        assert_eq!(whole.gap(), 0);
        assert_eq!(Audit { stranded: 1, ..whole.clone() }.gap(), 1);
        assert_eq!(Audit { accepted: 11, ..whole }.gap(), 1);
    }

    #[test]
    fn each_commit_falls_into_one_bucket() {
        let mut commits = Commits::default();
        for millis in [0, 1, 3, 9_000] {
            commits.add(2, Duration::from_millis(millis));
        }
        assert_eq!((commits.commits, commits.operations), (4, 8));
        assert_eq!((commits.buckets[0], commits.buckets[1], commits.buckets[12]), (1, 1, 1));
        assert_eq!(commits.buckets.iter().sum::<u64>(), 4);
    }
}
