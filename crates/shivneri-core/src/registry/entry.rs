//! One provider in the registry.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::ProviderSettings;
use crate::{
    AgentId, AgentSession, Delivery, EmailProvider, Failure, Outcome, ProviderId, Scope,
    health::{Effects, Health, HealthEvent, HealthPolicy, Presence, Standing},
    rejections::RejectionWatch,
    retry::RetryBudget,
    scheduler::Load,
};

/// Outcomes counted by the words the API uses.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; WORDS.len()]);

/// The outcomes' words, as in the API and in metrics.
pub const WORDS: [&str; 8] = [
    "accepted",
    "rejected",
    "unsupported",
    "account_fault",
    "throttled",
    "unavailable",
    "in_doubt",
    "not_started",
];

impl Counts {
    fn count(&self, word: &str) {
        if let Some(index) = WORDS.iter().position(|known| *known == word) {
            self.0[index].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        WORDS.iter().zip(&self.0).map(|(word, count)| (*word, count.load(Relaxed))).collect()
    }
}

/// An agent's place at an account.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) session: AgentSession,
    pub(crate) window: u32,
    pub(crate) in_flight: u32,
}

/// One provider account with everything that changes about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: ProviderId,
    pub(crate) provider: Arc<dyn EmailProvider>,
    pub(crate) settings: ProviderSettings,
    pub(crate) remote: bool,
    pub(crate) load: Arc<Load>,
    pub(crate) counts: Counts,
    live: Mutex<Live>,
}

/// What changes under one short lock.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) health: Health,
    pub(crate) seats: BTreeMap<AgentId, Seat>,
    pub(crate) budget: RetryBudget,
    pub(crate) rejections: RejectionWatch,
    pub(crate) last_success: Option<Instant>,
    pub(crate) accepted_per_second: f64,
    accepted_before: u64,
    last_latency: Instant,
    /// The kind of standing at the last step, by which the snapshot sorts.
    kind: std::mem::Discriminant<Standing>,
}

/// What one step of an entry brought.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) effects: Effects,
    /// Whether the kind of standing changed since the last step, so that the snapshot is old.
    pub(crate) moved: bool,
}

impl Entry {
    pub(crate) fn new(
        provider: Arc<dyn EmailProvider>,
        settings: ProviderSettings,
        health: Health,
        remote: bool,
        now: Instant,
    ) -> Self {
        let kind = std::mem::discriminant(&health.standing(now));
        Self {
            id: provider.id().clone(),
            provider,
            load: Arc::new(Load::new(settings.window.max(1))),
            settings,
            remote,
            counts: Counts::default(),
            live: Mutex::new(Live {
                health,
                seats: BTreeMap::new(),
                budget: RetryBudget::default(),
                rejections: RejectionWatch::default(),
                last_success: None,
                accepted_per_second: 0.0,
                accepted_before: 0,
                last_latency: now,
                kind,
            }),
        }
    }

    /// The lock is never held over a panic that matters: each change is whole in itself.
    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attempts that may be out at once: its own window, and no more than its live agents' sum.
    pub(crate) fn window(&self, live: &Live) -> u32 {
        if !self.remote {
            return self.settings.window;
        }
        let present = |seat: &&Seat| {
            let session = &seat.session;
            live.health.agent_presence(&session.agent, session.generation) == Some(Presence::Live)
        };
        live.seats
            .values()
            .filter(present)
            .map(|seat| seat.window)
            .sum::<u32>()
            .min(self.settings.window)
    }

    /// Takes one step of the health machine and brings the load's share and capacity along.
    pub(crate) fn step(
        &self,
        live: &mut Live,
        event: HealthEvent<'_>,
        now: Instant,
        draw: u64,
        policy: &HealthPolicy,
    ) -> Stepped {
        let effects = live.health.step(event, now, draw, policy);
        let standing = live.health.standing(now);
        let share = match standing {
            Standing::Open { share } => share,
            Standing::Shut | Standing::Probation { .. } | Standing::LastResort => 1.0,
        };
        self.load.resize(self.window(live), share);
        let kind = std::mem::discriminant(&standing);
        let moved = std::mem::replace(&mut live.kind, kind) != kind;
        Stepped { effects, moved }
    }

    /// Takes the live agent with the most free window; a broken way to the service comes last.
    pub(crate) fn seat(&self, live: &mut Live) -> Option<AgentSession> {
        let health = &live.health;
        let best = live
            .seats
            .values_mut()
            .filter(|seat| {
                let session = &seat.session;
                seat.in_flight < seat.window
                    && health.agent_presence(&session.agent, session.generation)
                        == Some(Presence::Live)
            })
            .max_by_key(|seat| {
                let broken = health.link_failures(&seat.session.agent);
                (std::cmp::Reverse(broken), seat.window - seat.in_flight)
            })?;
        best.in_flight += 1;
        Some(best.session.clone())
    }

    /// Gives an agent's place back, if that session still has it.
    pub(crate) fn unseat(live: &mut Live, session: &AgentSession) {
        if let Some(seat) = live.seats.get_mut(&session.agent)
            && seat.session.generation == session.generation
        {
            seat.in_flight = seat.in_flight.saturating_sub(1);
        }
    }

    /// Counts an outcome for rates, watches and the default scheduler.
    pub(crate) fn observe(
        &self,
        live: &mut Live,
        outcome: &Outcome,
        latency: Duration,
        now: Instant,
    ) {
        self.counts.count(outcome.word());
        let error = match outcome {
            Outcome::Accepted(_) => {
                self.load.observe(latency, now.duration_since(live.last_latency));
                live.last_latency = now;
                live.last_success = Some(now);
                return live.rejections.other(now);
            }
            Outcome::Failed(error) => error,
        };
        match error.failure() {
            Failure::Rejected(Scope::Unexplained) => live.rejections.unexplained(now),
            Failure::Rejected(Scope::Message | Scope::Recipients(_)) | Failure::Unsupported => {
                live.rejections.other(now);
            }
            Failure::Unavailable | Failure::InDoubt(_) if !error.is_not_started() => {
                self.load.penalise();
            }
            Failure::Unavailable
            | Failure::InDoubt(_)
            | Failure::AccountFault(_)
            | Failure::Throttled { .. } => {}
        }
    }

    /// Updates the moving rate of acceptances; called at each tick.
    pub(crate) fn measure_rate(&self, live: &mut Live, elapsed: Duration) {
        let accepted = self.counts.0[0].load(Relaxed);
        let seconds = elapsed.as_secs_f64();
        if seconds > 0.0 {
            let rate = (accepted - live.accepted_before) as f64 / seconds;
            let keep = (-seconds / 3.0).exp();
            live.accepted_per_second = live.accepted_per_second * keep + rate * (1.0 - keep);
            live.accepted_before = accepted;
        }
    }

    /// Why it can't carry this mail at all, whatever its health; `None` where it can.
    pub(crate) fn can_never(&self, delivery: &Delivery) -> Option<String> {
        if delivery.route.as_ref().is_some_and(|route| !route.contains(&self.id)) {
            return Some("not on this message's route".into());
        }
        if let Some(domains) = &self.settings.domains {
            let domain = delivery.email.from().address().domain().to_lowercase();
            if !domains.contains(&domain) {
                return Some(format!("the sender domain {domain} is not verified there"));
            }
        }
        self.provider.capabilities().refusal(&delivery.email)
    }
}
