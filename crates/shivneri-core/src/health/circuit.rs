//! The circuit: whether a provider's recent outcomes allow it mail.

use std::time::Duration;

use tokio::time::Instant;

use super::HealthPolicy;
use crate::{MessageId, window::SlidingCounts};

const SUCCESS: usize = 0;
const FAILURE: usize = 1;
const RATIO_SECONDS: u64 = 30;
/// After this long on probation without a telling outcome, probes may stand in for mail, and any
/// mail that may be sent twice may be the one that tries.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// The time between two green probes that count as two.
const BETWEEN_PROBES: Duration = Duration::from_secs(10);
/// A probation permit that is not back this long after its attempt's timeout is a failure.
const GRACE: Duration = Duration::from_secs(5);

/// Closed, open, on probation with one permit, or growing its share again.
#[derive(Clone, Debug)]
pub(super) enum Circuit {
    Closed,
    Open { until: Instant, n: u32, reason: String },
    HalfOpen(Probation),
    Ramp { since: Instant, length: Duration, n: u32 },
}

/// One permit at a time; two successes in a row lead out of it.
#[derive(Clone, Debug)]
pub(super) struct Probation {
    pub(super) since: Instant,
    n: u32,
    /// The attempt that has the permit, and when it counts as failed.
    pub(super) permit: Option<(u64, Instant)>,
    successes: u32,
    /// The last outcome that told something.
    told: Instant,
    green_probes: u32,
    next_probe: Instant,
}

/// Counts that decide when to open.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    consecutive: u32,
    /// The latest failure of each of the latest failing messages, as many as the policy asks for.
    messages: Vec<(MessageId, Instant)>,
    recent: SlidingCounts<{ RATIO_SECONDS as usize }>,
}

impl Tally {
    fn clear(&mut self) {
        self.consecutive = 0;
        self.messages.clear();
        self.recent.clear();
    }

    fn success(&mut self, now: Instant) {
        self.consecutive = 0;
        self.recent.add(SUCCESS, now);
    }

    fn failure(&mut self, message: MessageId, now: Instant, policy: &HealthPolicy) {
        self.consecutive = self.consecutive.saturating_add(1);
        let recent = |at: Instant| now.duration_since(at) < Duration::from_secs(RATIO_SECONDS);
        self.messages.retain(|(known, at)| *known != message && recent(*at));
        self.messages.push((message, now));
        if self.messages.len() > policy.trip_messages {
            self.messages.remove(0);
        }
        self.recent.add(FAILURE, now);
    }

    /// Percentages alone mean little with few providers, and one poisonous message must not take
    /// a provider down: so failures of different messages are asked for in both rules.
    fn trips(&self, now: Instant, policy: &HealthPolicy) -> Option<String> {
        if self.messages.len() < policy.trip_messages {
            return None;
        }
        if self.consecutive >= policy.trip_consecutive {
            return Some(format!("{} failures in a row", self.consecutive));
        }
        let [good, bad] = self.recent.sums(now);
        let all = good + bad;
        (all >= policy.trip_samples && f64::from(good) < f64::from(all) * policy.trip_ratio)
            .then(|| format!("{bad} of {all} failed within {RATIO_SECONDS} s"))
    }
}

impl Circuit {
    fn half_open(n: u32, now: Instant) -> Self {
        Self::HalfOpen(Probation {
            since: now,
            n,
            permit: None,
            successes: 0,
            told: now,
            green_probes: 0,
            next_probe: now + QUIET,
        })
    }

    /// How often in a row it was opened.
    fn times_opened(&self) -> u32 {
        match self {
            Self::Closed => 0,
            Self::Open { n, .. } | Self::Ramp { n, .. } => *n,
            Self::HalfOpen(probation) => probation.n,
        }
    }

    /// Opens it, for longer than the last time.
    pub(super) fn open(&mut self, reason: String, now: Instant, draw: u64, policy: &HealthPolicy) {
        let n = match self {
            Self::Closed => 0,
            Self::Open { .. } | Self::HalfOpen(_) | Self::Ramp { .. } => self.times_opened() + 1,
        };
        *self = Self::Open { until: now + policy.open_for(n, draw), n, reason };
    }

    /// Puts it on probation, as after a fault that no probe can prove gone. A permit of a probation
    /// before that is still out stays the only one.
    pub(super) fn probation(&mut self, now: Instant) {
        let out = match self {
            Self::HalfOpen(probation) => probation.permit,
            Self::Closed | Self::Open { .. } | Self::Ramp { .. } => None,
        };
        *self = Self::half_open(self.times_opened(), now);
        if let Self::HalfOpen(probation) = self {
            probation.permit = out;
        }
    }

    /// Grows its share again after its agents were gone; a circuit that is not closed has reasons
    /// of its own and stays as it is.
    pub(super) fn session_ramp(&mut self, now: Instant, policy: &HealthPolicy) {
        if matches!(self, Self::Closed) {
            *self = Self::Ramp { since: now, length: policy.session_ramp, n: 0 };
        }
    }

    /// Moves on with time.
    pub(super) fn tick(&mut self, now: Instant, draw: u64, policy: &HealthPolicy) {
        match self {
            Self::Open { until, n, .. } if now >= *until => *self = Self::half_open(*n, now),
            Self::HalfOpen(probation)
                if probation.permit.is_some_and(|(_, deadline)| now >= deadline) =>
            {
                self.open("the one attempt on probation never ended".into(), now, draw, policy);
            }
            Self::Ramp { since, length, .. } if now.duration_since(*since) >= *length => {
                *self = Self::Closed;
            }
            Self::Closed | Self::Open { .. } | Self::HalfOpen(_) | Self::Ramp { .. } => {}
        }
    }

    /// Brings the end of an open circuit forward.
    pub(super) fn pull(&mut self, latest: Instant) {
        if let Self::Open { until, .. } = self {
            *until = (*until).min(latest);
        }
    }

    /// Takes the probation's permit.
    pub(super) fn take_permit(&mut self, ticket: u64, timeout: Duration, now: Instant) {
        if let Self::HalfOpen(probation) = self {
            probation.permit = Some((ticket, now + timeout + GRACE));
        }
    }

    /// Takes the probation's permit back if this attempt has it, and tells whether it had. One
    /// that expired meanwhile has none, and says nothing about a later probation.
    pub(super) fn return_permit(&mut self, ticket: u64) -> bool {
        match self {
            Self::HalfOpen(probation)
                if probation.permit.is_some_and(|(held, _)| held == ticket) =>
            {
                probation.permit = None;
                true
            }
            Self::Closed | Self::Open { .. } | Self::HalfOpen(_) | Self::Ramp { .. } => false,
        }
    }

    /// Takes in a success. On probation only the outcome of the permit counts.
    pub(super) fn success(
        &mut self,
        tally: &mut Tally,
        on_probation: bool,
        now: Instant,
        policy: &HealthPolicy,
    ) {
        tally.success(now);
        if let Self::HalfOpen(probation) = self
            && on_probation
        {
            probation.told = now;
            probation.successes += 1;
            if probation.successes >= 2 {
                self.enter_ramp(tally, now, policy);
            }
        }
    }

    /// Takes in a failure.
    #[allow(clippy::too_many_arguments, reason = "one event with all that it brings")]
    pub(super) fn failure(
        &mut self,
        tally: &mut Tally,
        on_probation: bool,
        message: MessageId,
        detail: &str,
        now: Instant,
        draw: u64,
        policy: &HealthPolicy,
    ) {
        tally.failure(message, now, policy);
        let tripped = match self {
            Self::Closed => tally.trips(now, policy),
            Self::Open { .. } => None,
            Self::HalfOpen(_) if on_probation => Some("failed on probation".to_owned()),
            Self::HalfOpen(_) => None,
            Self::Ramp { .. } if tally.consecutive >= 2 => {
                Some("2 failures in a row while recovering".to_owned())
            }
            Self::Ramp { .. } => tally.trips(now, policy),
        };
        if let Some(reason) = tripped {
            tally.clear();
            self.open(format!("{reason}; the last: {detail}"), now, draw, policy);
        }
    }

    /// Whether a probe should be made now, in place of mail that doesn't come.
    pub(super) fn wants_probe(&self, now: Instant) -> bool {
        match self {
            Self::HalfOpen(probation) => {
                now.duration_since(probation.told) >= QUIET && now >= probation.next_probe
            }
            Self::Closed | Self::Open { .. } | Self::Ramp { .. } => false,
        }
    }

    /// Takes in a probe's end while on probation.
    pub(super) fn probed(
        &mut self,
        green: bool,
        tally: &mut Tally,
        now: Instant,
        policy: &HealthPolicy,
    ) {
        if let Self::HalfOpen(probation) = self {
            probation.green_probes = if green { probation.green_probes + 1 } else { 0 };
            probation.next_probe = now + BETWEEN_PROBES;
            if probation.green_probes >= 2 {
                self.enter_ramp(tally, now, policy);
            }
        }
    }

    /// A probe was begun: the next is due later.
    pub(super) fn probe_begun(&mut self, now: Instant) {
        if let Self::HalfOpen(probation) = self {
            probation.next_probe = now + BETWEEN_PROBES;
        }
    }

    fn enter_ramp(&mut self, tally: &mut Tally, now: Instant, policy: &HealthPolicy) {
        tally.clear();
        *self = Self::Ramp { since: now, length: policy.ramp, n: self.times_opened() };
    }

    /// The share of its full weight and window that it may have: 10 % growing to 100 %.
    pub(super) fn share(&self, now: Instant) -> f64 {
        match self {
            Self::Closed => 1.0,
            Self::Open { .. } | Self::HalfOpen(_) => 0.0,
            Self::Ramp { since, length, .. } => {
                let gone =
                    now.duration_since(*since).as_secs_f64() / length.as_secs_f64().max(0.001);
                (0.1 + 0.9 * gone).min(1.0)
            }
        }
    }
}
