//! What goes on, in numbers for Prometheus.
//!
//! Labels are doors, lanes, providers and words; never an address or a message's id.

mod log;
mod present;
mod text;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry as Families,
};
use shivneri_core::{Attempt, AttemptLog, Outcome, Registry, submit::Door};
use shivneri_spool::{Spool, SpoolError};
pub use text::Format;

use log::MeteredLog;
use present::Present;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDoor {
    door: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProvider {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    provider: String,
    outcome: &'static str,
}

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counts and times since the start, and a look at the present when asked.
pub struct Metrics {
    version: String,
    accepted: Family<ByDoor, Counter>,
    accept_seconds: Seconds<ByDoor>,
    attempts: Family<ByOutcome, Counter>,
    attempt_seconds: Seconds<ByProvider>,
    families: Families,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("version", &self.version).finish_non_exhaustive()
    }
}

/// From one millisecond to ten seconds: from a group commit's wait to an overloaded disk.
fn accept_buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// From ten milliseconds to the minute that an answer is awaited.
fn attempt_buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Metrics {
    /// Nothing has happened yet. `version` is shown in `shivneri_build_info`.
    pub fn new(version: impl Into<String>) -> Arc<Self> {
        let accepted = Family::<ByDoor, Counter>::default();
        let accept_seconds: Seconds<ByDoor> = Family::new_with_constructor(accept_buckets);
        let attempts = Family::<ByOutcome, Counter>::default();
        let attempt_seconds: Seconds<ByProvider> = Family::new_with_constructor(attempt_buckets);
        // The encoder adds `_total` to the names of counters.
        let mut families = Families::with_prefix("shivneri");
        families.register("messages_accepted", "Messages taken and made durable", accepted.clone());
        families.register(
            "accept_seconds",
            "Time from a whole request to a durable message",
            accept_seconds.clone(),
        );
        families.register("attempts", "Attempts that have ended, by outcome", attempts.clone());
        families.register(
            "attempt_seconds",
            "Time from an attempt's record to its outcome",
            attempt_seconds.clone(),
        );
        let version = version.into();
        Arc::new(Self { version, accepted, accept_seconds, attempts, attempt_seconds, families })
    }

    /// A message was taken, in this time.
    pub(crate) fn accepted(&self, door: Door, took: Duration) {
        let door = ByDoor { door: door.as_str() };
        self.accepted.get_or_create(&door).inc();
        self.accept_seconds.get_or_create(&door).observe(took.as_secs_f64());
    }

    fn ended(&self, attempt: &Attempt, outcome: &Outcome) {
        let provider = attempt.provider.as_str().to_owned();
        // A clock that was set back makes an attempt of no length, not a lost one.
        let took = attempt.started_at.elapsed().unwrap_or_default();
        let by_outcome = ByOutcome { provider: provider.clone(), outcome: outcome.word() };
        self.attempts.get_or_create(&by_outcome).inc();
        self.attempt_seconds.get_or_create(&ByProvider { provider }).observe(took.as_secs_f64());
    }

    /// The same log, each end of an attempt counted once it is committed.
    pub fn log(self: &Arc<Self>, inner: Arc<dyn AttemptLog>) -> Arc<dyn AttemptLog> {
        Arc::new(MeteredLog::new(inner, Arc::clone(self)))
    }

    /// Everything as text.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where the spool's counts could not be read.
    pub async fn scrape(
        &self,
        spool: &dyn Spool,
        registry: &Registry,
        format: Format,
    ) -> Result<String, SpoolError> {
        let present = Present {
            version: self.version.clone(),
            stats: spool.stats().await?,
            commits: spool.health().commits,
            providers: registry.views(),
            now: std::time::SystemTime::now(),
        };
        let mut now = Families::default();
        now.register_collector(Box::new(present));
        Ok(text::write(&[&self.families, &now], format))
    }
}
