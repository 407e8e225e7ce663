//! What has to happen as time passes: deadlines and probes.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Dispatcher;
use crate::{Failure, SendError, registry::Entry};

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

type Probe = Pin<Box<dyn Future<Output = (Arc<Entry>, Result<(), SendError>)> + Send>>;

impl Dispatcher {
    /// Lets time pass: marks silent agents, ends pauses, and probes providers. Runs until it is
    /// dropped; whoever embeds the dispatcher spawns it. Without it nothing recovers.
    pub async fn drive(&self) {
        let period = self.registry.policy().beat.max(Duration::from_millis(10));
        let mut ticker = interval(period);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        let mut probes: Vec<Probe> = Vec::new();
        loop {
            poll_fn(|context| {
                self.poll_probes(&mut probes, context);
                ticker.poll_tick(context).map(|_| ())
            })
            .await;
            let now = Instant::now();
            let elapsed = now.duration_since(last);
            last = now;
            for entry in self.registry.tick(elapsed.saturating_sub(period), elapsed, now) {
                self.registry.step_entry(&entry, crate::health::HealthEvent::ProbeBegun, now);
                probes.push(Box::pin(probe(entry)));
            }
        }
    }

    fn poll_probes(&self, probes: &mut Vec<Probe>, context: &mut std::task::Context<'_>) {
        probes.retain_mut(|running| match running.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready((entry, result)) => {
                tracing::debug!(provider = %entry.id, green = result.is_ok(), "probed a provider");
                self.registry.probed(&entry, result.as_ref().copied(), Instant::now());
                false
            }
        });
    }
}

async fn probe(entry: Arc<Entry>) -> (Arc<Entry>, Result<(), SendError>) {
    let result = tokio::time::timeout(PROBE_TIMEOUT, entry.provider.probe()).await;
    let late = |_| Err(SendError::new(Failure::Unavailable, "the probe was not answered in time"));
    (entry, result.unwrap_or_else(late))
}
