//! Keeps what is known of each provider, so that a restart forgets neither an operator's word nor
//! a pause that a provider asked for.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{
    Fault, ProviderId, Registry,
    health::{Admin, Status},
    registry::ProviderView,
};
use shivneri_spool::{ProviderRecord, Register as _, Spool};

/// How often the registry is looked at.
const PERIOD: Duration = Duration::from_millis(500);
/// Nobody is left alone for longer, as in a provider's health.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Writes down changes until it is dropped.
pub(crate) async fn keep(registry: Arc<Registry>, spool: Arc<dyn Spool>) {
    let mut kept: BTreeMap<ProviderId, ProviderRecord> = BTreeMap::new();
    let mut ticker = tokio::time::interval(PERIOD);
    loop {
        ticker.tick().await;
        for view in registry.views() {
            let record = record_of(&view, kept.get(&view.id));
            if kept.get(&view.id) == Some(&record) {
                continue;
            }
            if let Err(error) = spool.put_provider(&record).await {
                tracing::warn!(provider = %view.id, %error, "provider's state could not be kept");
                continue;
            }
            kept.insert(view.id, record);
        }
    }
}

/// What is worth keeping. `last_seen` moves only with a change of the rest, so that a provider
/// that is merely there causes no writes.
fn record_of(view: &ProviderView, before: Option<&ProviderRecord>) -> ProviderRecord {
    let now = SystemTime::now();
    // The pause's end is computed anew at each look: it counts as the same within a second.
    let gate_until = view.throttled_for.map(|pause| now + pause).map(|until| {
        let known = before.and_then(|record| record.gate_until);
        let same = |known: &SystemTime| apart(*known, until) < Duration::from_secs(1);
        known.filter(same).unwrap_or(until)
    });
    let mut record = ProviderRecord {
        id: view.id.clone(),
        kind: view.kind.clone(),
        admin: view.admin.as_str().to_owned(),
        hosted: !view.remote,
        capabilities: view.capabilities.clone(),
        gate_until,
        fault: view.fault.as_ref().map(|(fault, detail)| format!("{}: {detail}", fault.as_str())),
        last_seen: before.and_then(|record| record.last_seen),
    };
    let changed = before != Some(&record);
    if changed && view.status != Status::Offline {
        record.last_seen = Some(now);
    }
    record
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap_or_default()
}

/// Lets a provider that was just added take up where it was. `pause` is what the end of an attempt
/// told, which this keeper may not have come to write down.
pub(crate) fn restore(registry: &Registry, record: &ProviderRecord, pause: Option<SystemTime>) {
    let admin = match record.admin.as_str() {
        "draining" => Admin::Draining,
        "disabled" => Admin::Disabled,
        _ => Admin::Enabled,
    };
    let now = SystemTime::now();
    // One that ends later than any pause can was written by a clock that was ahead.
    let left = |until: SystemTime| until.duration_since(now).ok().filter(|left| *left <= LONGEST);
    let pause = [record.gate_until, pause].into_iter().flatten().filter_map(left).max();
    let fault = record.fault.as_deref().and_then(|text| {
        let (word, detail) = text.split_once(": ").unwrap_or((text, ""));
        let all = [Fault::Key, Fault::Suspended, Fault::Paused, Fault::Quota, Fault::Sender];
        Some((all.into_iter().find(|fault| fault.as_str() == word)?, detail))
    });
    // Unknown only if it was removed in between, and then there is nothing to restore.
    let _ = registry.restore(&record.id, admin, pause, fault);
}
