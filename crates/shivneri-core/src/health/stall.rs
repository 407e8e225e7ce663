//! Stalls: a provider that takes everything and answers nothing.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{HealthPolicy, Latency};

/// Answers that must be known before their percentile is trusted.
const KNOWN: u64 = 20;

/// What is in flight, and how long no answer has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    /// Started when, by ticket; tickets rise, so the first is the oldest.
    open: BTreeMap<u64, Instant>,
    last_answer: Option<Instant>,
    stalled: bool,
}

impl Flights {
    pub(super) fn started(&mut self, ticket: u64, now: Instant) {
        self.open.insert(ticket, now);
    }

    /// Ends one. Returns whether it was the last of a stall that ended without an answer.
    pub(super) fn ended(&mut self, ticket: u64, answered: bool, now: Instant) -> bool {
        self.open.remove(&ticket);
        if answered {
            self.last_answer = Some(now);
            self.stalled = false;
            return false;
        }
        let over = self.stalled && self.open.is_empty();
        if over {
            self.stalled = false;
        }
        over
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    pub(super) fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// How long the oldest of those in flight has seen no answer.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let oldest = *self.open.values().next()?;
        let since = self.last_answer.map_or(oldest, |answer| answer.max(oldest));
        Some(now.saturating_duration_since(since))
    }

    pub(super) fn tick(
        &mut self,
        latency: &Latency,
        window: u32,
        now: Instant,
        policy: &HealthPolicy,
    ) {
        let enough = policy.stall_min.min(window).max(1) as usize;
        let limit = match latency.percentile(0.99) {
            Some(p99) if latency.known() >= KNOWN => policy.stall_floor.max(p99 * 5),
            Some(_) | None => policy.stall_unknown,
        };
        if self.open.len() >= enough && self.silence(now).is_some_and(|silence| silence >= limit) {
            self.stalled = true;
        }
    }

    /// Forgives a pause of our own.
    pub(super) fn shift(&mut self, late: Duration, now: Instant) {
        let later = |at: Instant| (at + late).min(now);
        self.open.values_mut().for_each(|started| *started = later(*started));
        self.last_answer = self.last_answer.map(later);
    }
}
