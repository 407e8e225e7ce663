//! The providers sorted by what they may take, rebuilt when that changes.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::Entry;
use crate::{
    health::Standing,
    scheduler::{ActiveSet, Candidate},
};

/// Who may take mail: by tier, on probation, and as a last resort.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Those of open standing, best tier first.
    pub(crate) tiers: Vec<Tier>,
    /// Those with one permit, best tier first.
    pub(crate) probation: Vec<Arc<Entry>>,
    /// Those that answer nothing at present, by tier.
    pub(crate) last_resort: Vec<Tier>,
    /// Everyone.
    pub(crate) all: Vec<Arc<Entry>>,
}

/// The active providers of one tier; `entries` are parallel to the set's candidates.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) tier: u8,
    pub(crate) set: ActiveSet,
    pub(crate) entries: Vec<Arc<Entry>>,
}

impl Snapshot {
    pub(super) fn of(all: Vec<Arc<Entry>>, version: u64, now: Instant) -> Self {
        let mut open: BTreeMap<u8, Vec<Arc<Entry>>> = BTreeMap::new();
        let mut silent: BTreeMap<u8, Vec<Arc<Entry>>> = BTreeMap::new();
        let mut probation = Vec::new();
        for entry in &all {
            let tier = entry.settings.tier;
            match entry.live().health.standing(now) {
                Standing::Open { .. } => open.entry(tier).or_default().push(Arc::clone(entry)),
                Standing::LastResort => silent.entry(tier).or_default().push(Arc::clone(entry)),
                Standing::Probation { .. } => probation.push(Arc::clone(entry)),
                Standing::Shut => {}
            }
        }
        probation.sort_by_key(|entry| entry.settings.tier);
        let tiers = |sorted: BTreeMap<u8, Vec<Arc<Entry>>>| {
            sorted.into_iter().map(|(tier, entries)| Tier::of(tier, entries, version)).collect()
        };
        Self { tiers: tiers(open), probation, last_resort: tiers(silent), all }
    }

    pub(super) fn free_places(&self, now: Instant) -> usize {
        let tiers = self.tiers.iter().chain(&self.last_resort);
        let open: usize = tiers.flat_map(|t| &t.entries).map(|e| e.load.free() as usize).sum();
        let has_permit = |entry: &&Arc<Entry>| {
            let standing = entry.live().health.standing(now);
            matches!(standing, Standing::Probation { free: true, .. })
        };
        let probation = self.probation.iter().filter(has_permit).count();
        open + probation
    }

    pub(super) fn can_dispatch(&self) -> bool {
        !(self.tiers.is_empty() && self.probation.is_empty() && self.last_resort.is_empty())
    }

    /// The share of its tier's traffic that an entry is meant to get, if its tier is in use.
    pub(super) fn traffic_share(&self, entry: &Arc<Entry>) -> f64 {
        let Some(tier) = self.tiers.first() else { return 0.0 };
        let weight = |e: &Arc<Entry>| {
            f64::from(e.settings.weight.max(1)) * f64::from(e.load.share_permille())
        };
        let total: f64 = tier.entries.iter().map(weight).sum();
        let there = tier.entries.iter().any(|other| Arc::ptr_eq(other, entry));
        if there && total > 0.0 { weight(entry) / total } else { 0.0 }
    }
}

impl Tier {
    fn of(tier: u8, entries: Vec<Arc<Entry>>, version: u64) -> Self {
        let candidates = entries.iter().enumerate().map(|(index, entry)| {
            let load = Arc::clone(&entry.load);
            Candidate::new(index, entry.id.clone(), entry.settings.weight, load)
        });
        Self { tier, set: ActiveSet::new(version, candidates.collect()), entries }
    }
}
