//! The health machine's parameters.

use std::time::Duration;

/// Every parameter of the health machine. The defaults are the product's; each is a key of the
/// config section `[health]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthPolicy {
    /// How often an agent beats. 250 ms.
    pub beat: Duration,
    /// Silence after which an agent gets no new mail. 1 s.
    pub suspect: Duration,
    /// Silence after which an agent counts as gone. 3 s.
    pub lost: Duration,
    /// A lateness of our own ticker beyond which all deadlines are shifted by it: our pause is
    /// not their death. 500 ms.
    pub pause_guard: Duration,
    /// Attempts in flight that make silence a stall; a smaller window counts whole. 3.
    pub stall_min: u32,
    /// The shortest silence that is a stall; otherwise five times the 99th percentile. 1 s.
    pub stall_floor: Duration,
    /// The silence that is a stall until 20 answers are known. 10 s.
    pub stall_unknown: Duration,
    /// Failures in a row that open the circuit. 5.
    pub trip_consecutive: u32,
    /// Different messages that those failures must come from. 3.
    pub trip_messages: usize,
    /// The share of successes below which the circuit opens. 0.5.
    pub trip_ratio: f64,
    /// Outcomes in 30 s that make the share count. 20.
    pub trip_samples: u32,
    /// How long the circuit stays open the first time; doubled each time. 5 s.
    pub open: Duration,
    /// How long it stays open at most. 300 s.
    pub open_cap: Duration,
    /// How long the share grows from 10 % to all of it after a circuit was open. 60 s.
    pub ramp: Duration,
    /// The same after an agent was lost. 5 s.
    pub session_ramp: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(250),
            suspect: Duration::from_secs(1),
            lost: Duration::from_secs(3),
            pause_guard: Duration::from_millis(500),
            stall_min: 3,
            stall_floor: Duration::from_secs(1),
            stall_unknown: Duration::from_secs(10),
            trip_consecutive: 5,
            trip_messages: 3,
            trip_ratio: 0.5,
            trip_samples: 20,
            open: Duration::from_secs(5),
            open_cap: Duration::from_secs(300),
            ramp: Duration::from_secs(60),
            session_ramp: Duration::from_secs(5),
        }
    }
}

impl HealthPolicy {
    /// How long the circuit stays open the `n`-th time in a row (from 0): `open · 2^n` under the
    /// cap, the second half of it drawn at random.
    pub fn open_for(&self, n: u32, draw: u64) -> Duration {
        let whole = self.open.saturating_mul(1_u32.checked_shl(n).unwrap_or(u32::MAX));
        let half = whole.min(self.open_cap) / 2;
        half + crate::retry::fraction_of(half, draw)
    }
}
