//! Finding the provider for the next attempt, and saying why.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Dispatcher;
use crate::{
    Delivery, OnDoubt, Permit, ProviderId,
    health::Standing,
    registry::{Entry, Snapshot, Tier},
    scheduler::{Admission, Candidate, Scheduler},
};

/// One run of a delivery through the providers.
#[derive(Debug)]
pub(super) struct Run {
    /// Grows by each attempt of this run.
    pub(super) delivery: Delivery,
    /// Those that were asked and won't be again in this run.
    pub(super) tried: Vec<ProviderId>,
    /// Those that said they can't carry it.
    pub(super) unsupported: Vec<ProviderId>,
    /// Those that asked for a pause in this run, and how long.
    pub(super) paused: Vec<(ProviderId, Duration)>,
    /// Whether the next attempt is an immediate second one that the budget limits.
    pub(super) again: bool,
}

/// A provider with the right to use it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) permit: Permit,
    pub(super) reason: String,
}

/// Nobody can be asked now.
#[derive(Debug)]
pub(super) struct Nobody {
    /// Why, provider by provider.
    pub(super) reason: String,
    /// Whether that can't change as long as the same providers are known.
    pub(super) forever: bool,
    /// Whether a free place is all that is missing.
    pub(super) busy: bool,
    /// The shortest pause, where everybody who could carry it asked for one in this run.
    pub(super) pause: Option<Duration>,
}

/// Others that a reason tells of; beyond that they are counted.
const TOLD: usize = 8;

impl Dispatcher {
    /// Finds a provider and takes the right to use it.
    ///
    /// In this order: the provider in doubt, for a delivery that may double there least; one on
    /// probation that this delivery suits; the best tier by the scheduler; any on probation; those
    /// that answer nothing at present.
    pub(super) fn choose(&self, run: &Run) -> Result<Choice, Nobody> {
        let now = Instant::now();
        let snapshot = self.registry.snapshot();
        if let Some(choice) = self.same_again(run, &snapshot, now) {
            return Ok(choice);
        }
        let best_tier = snapshot.tiers.first().map_or(u8::MAX, |tier| tier.tier);
        let suited = |entry: &&Arc<Entry>| {
            entry.settings.tier <= best_tier && suits_probation(&run.delivery, entry, now)
        };
        if let Some(choice) = self.on_probation(run, &snapshot, now, suited) {
            return Ok(choice);
        }
        if let Some(choice) =
            snapshot.tiers.iter().find_map(|tier| self.by_scheduler(run, &snapshot, tier, now))
        {
            return Ok(choice);
        }
        if let Some(choice) = self.on_probation(run, &snapshot, now, |_| true) {
            return Ok(choice);
        }
        let silent = snapshot.last_resort.iter();
        silent
            .filter_map(|tier| self.by_scheduler(run, &snapshot, tier, now))
            .next()
            .ok_or_else(|| self.nobody(run, &snapshot, now))
    }

    fn by_scheduler(
        &self,
        run: &Run,
        snapshot: &Snapshot,
        tier: &Tier,
        now: Instant,
    ) -> Option<Choice> {
        // A place can go to another between the look and the taking; then it is looked at again.
        for _ in 0..=tier.entries.len() {
            let admits = |candidate: &Candidate| match self.denial(
                run,
                &tier.entries[candidate.index()],
                now,
            ) {
                Some(reason) => Admission::Denied(reason),
                None => Admission::Granted,
            };
            let pick = {
                let mut schedulers = self.schedulers();
                let scheduler = schedulers.entry(tier.tier).or_insert_with(|| (self.factory)());
                scheduler.pick(&tier.set, &admits, self.registry.draw())?
            };
            let entry = &tier.entries[pick.index];
            if let Some(permit) = self.registry.permit(entry, &run.delivery, false, now) {
                self.count_try(run, entry, now);
                let reason = self.explain(run, snapshot, entry, &pick.reason.to_string(), now);
                return Some(Choice { permit, reason });
            }
        }
        None
    }

    fn on_probation(
        &self,
        run: &Run,
        snapshot: &Snapshot,
        now: Instant,
        suits: impl Fn(&&Arc<Entry>) -> bool,
    ) -> Option<Choice> {
        let may = |entry: &&Arc<Entry>| self.denial(run, entry, now).is_none();
        snapshot.probation.iter().filter(suits).filter(may).find_map(|entry| {
            let permit = self.registry.permit(entry, &run.delivery, true, now)?;
            self.count_try(run, entry, now);
            let reason = self.explain(run, snapshot, entry, "the one mail of its probation", now);
            Some(Choice { permit, reason })
        })
    }

    /// A delivery in doubt goes to the provider that perhaps has it, if that is healthy: there a
    /// second copy is likeliest to be noticed.
    fn same_again(&self, run: &Run, snapshot: &Snapshot, now: Instant) -> Option<Choice> {
        let id = run.delivery.doubtful_provider()?;
        let entry = snapshot.tiers.iter().flat_map(|tier| &tier.entries).find(|e| e.id == *id)?;
        if self.denial(run, entry, now).is_some() {
            return None;
        }
        let permit = self.registry.permit(entry, &run.delivery, false, now)?;
        self.count_try(run, entry, now);
        let reason =
            self.explain(run, snapshot, entry, "an earlier attempt there is in doubt", now);
        Some(Choice { permit, reason })
    }

    pub(super) fn count_try(&self, run: &Run, entry: &Arc<Entry>, now: Instant) {
        let budget = &mut entry.live().budget;
        if run.again { budget.second_try(now) } else { budget.first_try(now) }
    }

    /// Why this provider is not for this delivery, whatever state it is in.
    fn unfit(&self, run: &Run, entry: &Arc<Entry>) -> Option<Cow<'static, str>> {
        if run.tried.contains(&entry.id) {
            return Some("already tried".into());
        }
        entry.can_never(&run.delivery).map(Into::into)
    }

    /// Why this provider can't take this delivery now, its health apart.
    pub(super) fn denial(
        &self,
        run: &Run,
        entry: &Arc<Entry>,
        now: Instant,
    ) -> Option<Cow<'static, str>> {
        if let Some(reason) = self.unfit(run, entry) {
            return Some(reason);
        }
        if entry.load.free() == 0 {
            return Some("its window is full".into());
        }
        let live = entry.live();
        if run.again && !live.budget.allows(now) {
            return Some("its budget of second tries is used up".into());
        }
        let domain = run.delivery.email.from().address().domain();
        live.health.refuses_sender(domain, now).map(|reason| reason.to_owned().into())
    }

    pub(super) fn explain(
        &self,
        run: &Run,
        snapshot: &Snapshot,
        chosen: &Arc<Entry>,
        why: &str,
        now: Instant,
    ) -> String {
        let mut text = why.to_owned();
        let others = snapshot.all.iter().filter(|entry| !Arc::ptr_eq(entry, chosen));
        for (position, entry) in others.enumerate() {
            if position == TOLD {
                let _ = write!(text, "; and {} others", snapshot.all.len() - 1 - TOLD);
                break;
            }
            let reason = self.standing_reason(run, entry, now);
            let reason = if reason.is_empty() { "could take it too".into() } else { reason };
            let _ = write!(text, "; {}: {reason}", entry.id);
        }
        text
    }

    /// Why health or the delivery's needs keep it from this provider; empty where they don't.
    fn standing_reason(&self, run: &Run, entry: &Arc<Entry>, now: Instant) -> String {
        if let Some(unfit) = self.unfit(run, entry) {
            return unfit.into_owned();
        }
        // Health comes before room: one whose agents are gone has no window either.
        let out_of_order = {
            let live = entry.live();
            let (status, reason) = (live.health.status(now), live.health.reason(now));
            match live.health.standing(now) {
                Standing::Open { .. } => None,
                _ if reason.is_empty() => Some(status.to_string()),
                Standing::Shut | Standing::Probation { .. } | Standing::LastResort => {
                    Some(format!("{status}: {reason}"))
                }
            }
        };
        out_of_order
            .or_else(|| self.denial(run, entry, now).map(Cow::into_owned))
            .unwrap_or_default()
    }

    fn nobody(&self, run: &Run, snapshot: &Snapshot, now: Instant) -> Nobody {
        if snapshot.all.is_empty() {
            return Nobody {
                reason: "no provider is known yet".into(),
                forever: false,
                busy: false,
                pause: None,
            };
        }
        let delivery = &run.delivery;
        let absent = delivery
            .route
            .iter()
            .flat_map(|route| route.iter())
            .find(|id| !snapshot.all.iter().any(|entry| entry.id == **id));
        let never = |entry: &Arc<Entry>| {
            entry.can_never(delivery).or_else(|| {
                let said = run.unsupported.contains(&entry.id);
                said.then(|| "said that it can't carry it".to_owned())
            })
        };
        let forever = absent.is_none() && snapshot.all.iter().all(|entry| never(entry).is_some());
        let mut reason = if forever {
            "no provider can carry it".to_owned()
        } else {
            "nobody can take it now".to_owned()
        };
        for (position, entry) in snapshot.all.iter().enumerate() {
            if position == TOLD {
                let _ = write!(reason, "; and {} others", snapshot.all.len() - TOLD);
                break;
            }
            let why = never(entry).unwrap_or_else(|| self.standing_reason(run, entry, now));
            let why = if why.is_empty() { "busy".to_owned() } else { why };
            let _ = write!(reason, "; {}: {why}", entry.id);
        }
        if let Some(absent) = absent {
            let _ = write!(reason, "; {absent}: not known yet");
        }
        let busy = snapshot.all.iter().any(|entry| {
            let stands = !matches!(entry.live().health.standing(now), Standing::Shut);
            let asked = run.tried.contains(&entry.id);
            stands && !asked && entry.load.free() == 0 && never(entry).is_none()
        });
        let asked = |entry: &Arc<Entry>| {
            run.paused.iter().find(|(id, _)| *id == entry.id).map(|(_, pause)| *pause)
        };
        let able = snapshot.all.iter().filter(|entry| never(entry).is_none());
        // One that was not asked, or asked for nothing, may take it sooner.
        let pause = able.map(asked).min().flatten();
        Nobody { reason, forever, busy, pause }
    }

    pub(super) fn schedulers(&self) -> std::sync::MutexGuard<'_, BTreeMap<u8, Box<dyn Scheduler>>> {
        self.schedulers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Who is on probation is tried with the mail that can best bear a failure: at first bulk, then
/// mail to one recipient, and once that has not come for long any that may be sent again.
fn suits_probation(delivery: &Delivery, entry: &Arc<Entry>, now: Instant) -> bool {
    let live = entry.live();
    let Standing::Probation { free: true, impatient } = live.health.standing(now) else {
        return false;
    };
    let single = delivery.email.envelope().recipients().len() == 1;
    let may_be_resent = delivery.on_doubt == OnDoubt::Resend;
    let urgent = delivery.lane.rank == 0;
    may_be_resent
        && (delivery.lane.suits_probation() && single
            || impatient
            || (single && !urgent && waited(&live.health, now)))
}

/// Whether a probation has gone on for a few seconds without the best-suited mail.
fn waited(health: &crate::health::Health, now: Instant) -> bool {
    now.saturating_duration_since(health.since()) >= std::time::Duration::from_secs(5)
}
