//! Watches the server's attempts as they are made, against what is true of the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use shivneri_core::{Attempt, AttemptId, Failure, Outcome, ProviderId, Registry, health::Status};
use shivneri_spool::{Memory, Spool, Stats};
use tokio::time::Instant;

use crate::{
    net::{Host, Net},
    trace::Trace,
};

#[derive(Debug, Default)]
struct Seen {
    /// Until when each provider asked to be left alone, as this process of the server knows it.
    gates: BTreeMap<ProviderId, Instant>,
    registry: Option<Arc<Registry>>,
    /// Attempts that were ever in doubt: recorded and unsettled at a fault, or ended so.
    doubtful: BTreeSet<AttemptId>,
    /// Begun, and not known to be closed in the log.
    open: BTreeSet<AttemptId>,
    violations: Vec<String>,
    /// The server itself was late: what it knows of others may be older by that.
    excused_until: Option<Instant>,
    /// No provider is up, and the server has had time to find out.
    all_down: bool,
    attempts: u64,
}

/// What is known outside the server.
#[derive(Debug)]
pub(crate) struct Watch {
    net: Net,
    trace: Trace,
    /// The machines that serve each account.
    agents: BTreeMap<ProviderId, Vec<Host>>,
    silence: Duration,
    /// How many attempts may be open at once.
    windows: u64,
    seen: Mutex<Seen>,
}

impl Watch {
    pub(crate) fn new(
        net: Net,
        trace: Trace,
        agents: BTreeMap<ProviderId, Vec<Host>>,
        silence: Duration,
        windows: u64,
    ) -> Arc<Self> {
        Arc::new(Self { net, trace, agents, silence, windows, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process of the server, which knows nothing of pauses asked for before.
    pub(crate) fn server_started(&self, registry: Arc<Registry>) {
        let mut seen = self.seen();
        seen.gates.clear();
        seen.registry = Some(registry);
    }

    /// What is open in the log now is in doubt: no more than the windows hold, and no more than
    /// the gauge of the process that died has said.
    pub(crate) fn server_crashed(&self, before: &Stats, after: &Stats) {
        let (open, windows) = (before.open_attempts, self.windows);
        if open > windows {
            self.violation(format!("P2: {open} attempts were open, and windows hold {windows}"));
        }
        let (bound, now) = (before.duplicates_bound(), after.duplicates_bound());
        if now > bound {
            self.violation(format!("P2: a crash left {now} possible duplicates, not {bound}"));
        }
        let mut seen = self.seen();
        let open = std::mem::take(&mut seen.open);
        seen.doubtful.extend(open);
    }

    /// An attempt's end is committed.
    pub(crate) fn closed(&self, attempt: AttemptId) {
        self.seen().open.remove(&attempt);
    }

    /// The server was stopped, or everything was.
    pub(crate) fn excuse(&self, length: Duration) {
        self.seen().excused_until = Some(Instant::now() + length);
    }

    /// From now on no provider is up, or they are again.
    pub(crate) fn set_all_down(&self, all_down: bool) {
        self.seen().all_down = all_down;
    }

    pub(crate) fn violation(&self, what: String) {
        self.trace.note(|| format!("VIOLATION {what}"));
        self.seen().violations.push(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    pub(crate) fn doubtful(&self) -> usize {
        self.seen().doubtful.len()
    }

    pub(crate) fn was_doubtful(&self, attempt: AttemptId) -> bool {
        self.seen().doubtful.contains(&attempt)
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.seen().attempts
    }

    pub(crate) fn begins(&self, attempt: &Attempt, memory: &Memory) {
        let provider = &attempt.provider;
        self.trace.note(|| {
            let (message, number) = (attempt.message, attempt.number);
            format!("attempt {number} of {message} at {provider}: {}", attempt.reason)
        });
        let now = Instant::now();
        let is_probe = attempt.reason.starts_with("the one mail of its probation");
        if self.seen().all_down && !is_probe {
            self.violation(format!("P9: {provider} was asked while none was up"));
        }
        let (gate, excused, registry) = {
            let mut seen = self.seen();
            seen.attempts += 1;
            seen.open.insert(attempt.id);
            let excused = seen.excused_until.is_some_and(|until| now < until);
            (seen.gates.get(provider).copied(), excused, seen.registry.clone())
        };
        if let Some(gate) = gate.filter(|gate| now < *gate) {
            let early = gate - now;
            self.violation(format!(
                "P10: {provider} was asked {early:?} before its pause was over"
            ));
        }
        let Some(registry) = registry else { return };
        let heard = |host: &Host| self.net.hears(*host, now - self.silence);
        let served = self.agents.get(provider).is_none_or(|hosts| hosts.iter().any(heard));
        if served || excused || attempt.number > 1 {
            return;
        }
        let record = memory.get(attempt.message).now_or_never().and_then(Result::ok).flatten();
        let free = record.is_some_and(|record| {
            record.providers.is_none() && !record.summary.subject.starts_with("large")
        });
        let other = registry.views().into_iter().find(|view| {
            view.id != *provider && view.status == Status::Active && view.in_flight < view.window
        });
        if let (true, Some(other)) = (free, other) {
            let other = other.id;
            self.violation(format!(
                "P5: {provider} was asked though silent, and {other} was active"
            ));
        }
    }

    pub(crate) fn ends(&self, attempt: &Attempt, outcome: &Outcome) {
        let (id, provider) = (attempt.message, &attempt.provider);
        self.trace.note(|| format!("{id} at {provider} ended {}", outcome.word()));
        let Some(error) = outcome.error() else { return };
        match error.failure() {
            Failure::Throttled { retry_after } => {
                let pause = retry_after.unwrap_or_default().max(Duration::from_secs(1));
                let until = Instant::now() + pause;
                let mut seen = self.seen();
                let gate = seen.gates.entry(provider.clone()).or_insert(until);
                *gate = until.max(*gate);
            }
            Failure::InDoubt(_) => {
                self.seen().doubtful.insert(attempt.id);
            }
            Failure::Rejected(_)
            | Failure::Unsupported
            | Failure::AccountFault(_)
            | Failure::Unavailable => {}
        }
    }

    pub(crate) fn amends(&self, attempt: AttemptId, outcome: &Outcome) {
        self.trace.note(|| format!("late word on {attempt}: {}", outcome.word()));
    }
}
