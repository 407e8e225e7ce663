//! The providers that are known, their health, and the right to use them.

mod entry;
mod permit;
mod sessions;
mod settings;
mod snapshot;
mod view;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

pub(crate) use entry::Entry;
use entry::Stepped;
pub use entry::WORDS as OUTCOME_WORDS;
pub use permit::Permit;
pub use settings::ProviderSettings;
pub(crate) use snapshot::{Snapshot, Tier};
pub use view::{AgentView, ProviderView};

use crate::{
    Delivery, EmailProvider, Fault, ProviderId, SendError,
    draws::Draws,
    health::{Admin, Health, HealthEvent, HealthPolicy, Standing, Status},
};

/// Who is known, how healthy, and how busy.
///
/// Providers come and go while it is used. Everything here is quick and waits for nothing but
/// short locks; only [`changed`](Self::changed) waits for news.
#[derive(Debug)]
pub struct Registry {
    policy: HealthPolicy,
    entries: RwLock<BTreeMap<ProviderId, Arc<Entry>>>,
    snapshot: RwLock<Arc<Snapshot>>,
    tickets: AtomicU64,
    seed: AtomicU64,
    versions: AtomicU64,
    news: watch::Sender<u64>,
}

/// No provider of that name is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no provider {0} is known")]
pub struct UnknownProvider(pub ProviderId);

/// Another provider has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a provider {0} is already known")]
pub struct DuplicateProvider(pub ProviderId);

impl Registry {
    /// An empty registry.
    pub fn new(policy: HealthPolicy) -> Arc<Self> {
        let random = uuid::Uuid::new_v4().as_u64_pair().0;
        Self::with_seed(policy, random)
    }

    /// An empty registry whose random draws follow from `seed`.
    pub fn with_seed(policy: HealthPolicy, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            policy,
            entries: RwLock::default(),
            snapshot: RwLock::default(),
            tickets: AtomicU64::new(1),
            seed: AtomicU64::new(seed),
            versions: AtomicU64::new(1),
            news: watch::Sender::new(0),
        })
    }

    /// The health machine's parameters.
    pub fn policy(&self) -> &HealthPolicy {
        &self.policy
    }

    /// Adds a provider that lives in this process.
    ///
    /// # Errors
    ///
    /// [`DuplicateProvider`] where the id is taken.
    pub fn add(
        &self,
        provider: Arc<dyn EmailProvider>,
        settings: ProviderSettings,
    ) -> Result<(), DuplicateProvider> {
        let now = Instant::now();
        self.insert(Entry::new(provider, settings, Health::local(now), false, now))
    }

    /// Adds a provider that agents serve; offline until one of them connects.
    ///
    /// # Errors
    ///
    /// [`DuplicateProvider`] where the id is taken.
    pub fn add_remote(
        &self,
        provider: Arc<dyn EmailProvider>,
        settings: ProviderSettings,
    ) -> Result<(), DuplicateProvider> {
        let now = Instant::now();
        self.insert(Entry::new(provider, settings, Health::remote(now), true, now))
    }

    fn insert(&self, entry: Entry) -> Result<(), DuplicateProvider> {
        let id = entry.id.clone();
        {
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            if entries.contains_key(&id) {
                return Err(DuplicateProvider(id));
            }
            entries.insert(id, Arc::new(entry));
        }
        self.rebuild();
        Ok(())
    }

    /// Forgets a provider. Attempts that are out run on.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where there is none of that name.
    pub fn remove(&self, id: &ProviderId) -> Result<(), UnknownProvider> {
        let removed = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        removed.ok_or_else(|| UnknownProvider(id.clone()))?;
        self.rebuild();
        Ok(())
    }

    /// How many providers are known.
    pub fn len(&self) -> usize {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no provider is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a provider of that name is known.
    pub fn contains(&self, id: &ProviderId) -> bool {
        self.entry(id).is_some()
    }

    /// Takes an operator's word.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where there is none of that name.
    pub fn administer(&self, id: &ProviderId, admin: Admin) -> Result<(), UnknownProvider> {
        self.step(id, HealthEvent::Admin(admin))
    }

    /// Its configuration changed: a fault is looked at again at once.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where there is none of that name.
    pub fn config_changed(&self, id: &ProviderId) -> Result<(), UnknownProvider> {
        self.step(id, HealthEvent::ConfigChanged)
    }

    /// Takes up what was known before a restart.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where there is none of that name.
    pub fn restore(
        &self,
        id: &ProviderId,
        admin: Admin,
        throttled_for: Option<Duration>,
        fault: Option<(Fault, &str)>,
    ) -> Result<(), UnknownProvider> {
        let entry = self.entry(id).ok_or_else(|| UnknownProvider(id.clone()))?;
        let now = Instant::now();
        entry.live().health.restore(throttled_for.map(|pause| now + pause), fault, now);
        self.step_entry(&entry, HealthEvent::Admin(admin), now);
        Ok(())
    }

    pub(crate) fn step(
        &self,
        id: &ProviderId,
        event: HealthEvent<'_>,
    ) -> Result<(), UnknownProvider> {
        let entry = self.entry(id).ok_or_else(|| UnknownProvider(id.clone()))?;
        self.step_entry(&entry, event, Instant::now());
        Ok(())
    }

    /// Steps one provider's health and spreads the news. Returns whether a probe is due.
    pub(crate) fn step_entry(
        &self,
        entry: &Arc<Entry>,
        event: HealthEvent<'_>,
        now: Instant,
    ) -> bool {
        let Stepped { effects, moved } =
            entry.step(&mut entry.live(), event, now, self.draw(), &self.policy);
        if let Some((before, after)) = effects.changed {
            let reason = entry.live().health.reason(now);
            report(entry, before, after, &reason);
        }
        if effects.changed.is_some() || moved {
            self.rebuild();
        }
        effects.probe
    }

    pub(crate) fn draw(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        Draws::new(self.seed.fetch_add(step, Relaxed)).draw()
    }

    pub(crate) fn entry(&self, id: &ProviderId) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sorts the providers by standing anew. Held under the write lock throughout, so that the
    /// newest standing is what stays.
    fn rebuild(&self) {
        let mut held = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.versions.fetch_add(1, Relaxed);
        *held = Arc::new(Snapshot::of(self.entries(), version, Instant::now()));
        drop(held);
        self.place_freed();
    }

    /// Tells who waits that mail may have somewhere to go now.
    pub(crate) fn place_freed(&self) {
        self.news.send_modify(|version| *version += 1);
    }

    /// Counts up whenever a provider's standing changes or a place becomes free.
    pub fn version(&self) -> u64 {
        *self.news.borrow()
    }

    /// Waits until [`version`](Self::version) is beyond `seen`, and returns it. Cancel-safe.
    pub async fn changed(&self, seen: u64) -> u64 {
        let mut news = self.news.subscribe();
        match news.wait_for(|version| *version > seen).await {
            Ok(version) => *version,
            // The sender lives as long as `self`, so this arm can't be reached.
            Err(_) => seen,
        }
    }

    /// Counts up whenever some provider's standing changes, or one comes or goes: then mail that
    /// nobody could take may have somewhere to go.
    pub fn standings(&self) -> u64 {
        self.versions.load(Relaxed)
    }

    /// How many attempts could be begun now, over all providers that may take mail.
    pub fn free_places(&self) -> usize {
        self.snapshot().free_places(Instant::now())
    }

    /// Whether any provider may take mail now, on probation included.
    pub fn can_dispatch(&self) -> bool {
        self.snapshot().can_dispatch()
    }

    /// Takes the right to make one attempt. `None` where the place went to another meanwhile.
    pub(crate) fn permit(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        delivery: &Delivery,
        on_probation: bool,
        now: Instant,
    ) -> Option<Permit> {
        if !entry.load.enter() {
            return None;
        }
        let ticket = self.tickets.fetch_add(1, Relaxed);
        // Looked at and taken under one lock: else two could take a probation's one permit.
        let taken = {
            let mut live = entry.live();
            let stands = match live.health.standing(now) {
                Standing::Shut => false,
                Standing::Probation { free, .. } => on_probation && free,
                Standing::LastResort | Standing::Open { .. } => !on_probation,
            };
            let session = if stands && entry.remote { entry.seat(&mut live) } else { None };
            let taken = stands && session.is_some() == entry.remote;
            if taken {
                let timeout = entry.settings.timeout;
                let event = HealthEvent::Started { ticket, on_probation, timeout };
                entry.step(&mut live, event, now, self.draw(), &self.policy);
            }
            taken.then_some(session)
        };
        let Some(session) = taken else {
            entry.load.leave();
            return None;
        };
        let domain = delivery.email.from().address().domain();
        let permit = Permit::new(
            Arc::clone(self),
            Arc::clone(entry),
            session,
            ticket,
            on_probation,
            delivery.message(),
            domain,
            now,
        );
        Some(permit)
    }

    /// Lets time pass for every provider; returns those that want a probe.
    pub(crate) fn tick(&self, late: Duration, elapsed: Duration, now: Instant) -> Vec<Arc<Entry>> {
        let entries = self.entries();
        let mut due = Vec::new();
        for entry in &entries {
            let window = {
                let mut live = entry.live();
                entry.measure_rate(&mut live, elapsed);
                entry.window(&live)
            };
            if self.step_entry(entry, HealthEvent::Tick { late, window }, now) {
                due.push(Arc::clone(entry));
            }
        }
        self.pull_the_earliest(&entries, now);
        due
    }

    /// With every circuit open, the earliest end is brought forward to within 5 s.
    fn pull_the_earliest(&self, entries: &[Arc<Entry>], now: Instant) {
        let latest = now + Duration::from_secs(5);
        let open_until = |entry: &Arc<Entry>| entry.live().health.open_until();
        let may_be_used = |entry: &&Arc<Entry>| {
            let status = entry.live().health.status(now);
            !matches!(
                status,
                Status::Disabled | Status::Draining | Status::Misconfigured | Status::Offline
            )
        };
        let usable: Vec<_> = entries.iter().filter(may_be_used).collect();
        if usable.is_empty() || usable.iter().any(|entry| open_until(entry).is_none()) {
            return;
        }
        if let Some(earliest) = usable.iter().min_by_key(|entry| open_until(entry))
            && open_until(earliest).is_some_and(|until| until > latest)
        {
            tracing::warn!(provider = %earliest.id, "every circuit is open, the earliest is tried sooner");
            self.step_entry(earliest, HealthEvent::Pull(latest), now);
        }
    }

    pub(crate) fn probed(&self, entry: &Arc<Entry>, result: Result<(), &SendError>, now: Instant) {
        self.step_entry(entry, HealthEvent::Probed(result), now);
    }

    /// Every provider as people see it, by name.
    pub fn views(&self) -> Vec<ProviderView> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        self.entries().iter().map(|entry| view(entry, &snapshot, now)).collect()
    }
}

fn report(entry: &Entry, before: Status, after: Status, reason: &str) {
    let bad =
        matches!(after, Status::Open | Status::Misconfigured | Status::Offline | Status::Stalled);
    if bad {
        tracing::warn!(provider = %entry.id, %before, %after, reason, "provider changed status");
    } else {
        tracing::info!(provider = %entry.id, %before, %after, reason, "provider changed status");
    }
}

fn view(entry: &Arc<Entry>, snapshot: &Snapshot, now: Instant) -> ProviderView {
    let live = entry.live();
    let health = &live.health;
    let agents = live.seats.values().map(|seat| sessions::view(seat, health, now)).collect();
    ProviderView {
        id: entry.id.clone(),
        kind: entry.provider.kind().to_owned(),
        status: health.status(now),
        reason: health.reason(now),
        for_how_long: now.saturating_duration_since(health.since()),
        admin: health.admin(),
        tier: entry.settings.tier,
        weight: entry.settings.weight,
        share: snapshot.traffic_share(entry),
        window: entry.window(&live),
        in_flight: entry.load.in_flight(),
        rate: live.accepted_per_second,
        p50: health.latency().percentile(0.5),
        p95: health.latency().percentile(0.95),
        counts: entry.counts.all(),
        capabilities: entry.provider.capabilities().as_ref().clone(),
        throttled_for: health.throttled_until().map(|until| until.saturating_duration_since(now)),
        fault: health.fault().map(|(fault, detail)| (fault, detail.to_owned())),
        remote: entry.remote,
        agents,
    }
}
