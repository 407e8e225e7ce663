//! Showing providers, and taking an operator's word about them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use shivneri_core::{
    AgentId, ProviderId,
    health::Admin,
    registry::{AgentView, ProviderView},
};
use shivneri_spool::{ProviderRecord, Register};

use super::{Api, List, extract::Named, times::Shown};
use crate::problem::{Code, Problem};

#[derive(Debug, Serialize)]
struct Provider<'a> {
    id: &'a ProviderId,
    kind: &'a str,
    status: &'static str,
    reason: &'a str,
    since: Shown,
    tier: u8,
    weight: u32,
    share: f64,
    window: u32,
    in_flight: u32,
    /// Acceptances a second.
    rate: f64,
    latency_ms: Latency,
    counts: &'a BTreeMap<&'static str, u64>,
    /// Quotas are not kept yet, so there is none to show.
    quota: [(); 0],
    agents: Vec<Agent<'a>>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: Option<f64>,
    p95: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Agent<'a> {
    id: &'a AgentId,
    generation: u64,
    session: &'static str,
    last_beat_ms: Option<u64>,
}

/// Milliseconds to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl<'a> Provider<'a> {
    fn of(view: &'a ProviderView, now: SystemTime) -> Self {
        Self {
            id: &view.id,
            kind: &view.kind,
            status: view.status.as_str(),
            reason: &view.reason,
            since: Shown(now.checked_sub(view.for_how_long).unwrap_or(now)),
            tier: view.tier,
            weight: view.weight,
            share: view.share,
            window: view.window,
            in_flight: view.in_flight,
            rate: (view.rate * 1000.0).round() / 1000.0,
            latency_ms: Latency { p50: view.p50.map(millis), p95: view.p95.map(millis) },
            counts: &view.counts,
            quota: [],
            agents: view.agents.iter().map(Agent::of).collect(),
        }
    }
}

impl<'a> Agent<'a> {
    fn of(view: &'a AgentView) -> Self {
        Self {
            id: &view.id,
            generation: view.generation,
            session: view.session,
            last_beat_ms: view.last_beat.map(|ago| ago.as_millis() as u64),
        }
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let views = api.parts.registry.views();
    let now = SystemTime::now();
    let data = views.iter().map(|view| Provider::of(view, now)).collect();
    Json(List { data }).into_response()
}

/// A known provider's id.
///
/// # Errors
///
/// 404 where none of that name is known.
pub(super) fn known(api: &Api, id: &str) -> Result<ProviderId, Problem> {
    let parsed = id.parse().ok().filter(|id| api.parts.registry.contains(id));
    parsed.ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(Code::UnknownProvider, format!("no provider {id:?} is known"))
}

fn view(api: &Api, id: &ProviderId) -> Result<ProviderView, Problem> {
    let views = api.parts.registry.views();
    views.into_iter().find(|view| view.id == *id).ok_or_else(|| unknown(id.as_str()))
}

/// An operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Drain,
    Resume,
    Disable,
    Enable,
}

impl Word {
    /// What the provider is to be. Of a disabled one only `enable` makes anything else.
    fn applied_to(self, before: Admin) -> Option<Admin> {
        match (self, before) {
            (Self::Drain | Self::Resume, Admin::Disabled) => None,
            (Self::Drain, Admin::Enabled | Admin::Draining) => Some(Admin::Draining),
            (Self::Resume, Admin::Enabled | Admin::Draining) => Some(Admin::Enabled),
            (Self::Disable, _) => Some(Admin::Disabled),
            (Self::Enable, _) => Some(Admin::Enabled),
        }
    }
}

/// Writes the operator's word down, so that a restart keeps it, and then takes it.
async fn administer(api: &Api, id: &str, word: Word) -> Result<Response, Problem> {
    let id = known(api, id)?;
    let before = view(api, &id)?;
    let admin = word.applied_to(before.admin).ok_or_else(|| {
        Problem::new(Code::ProviderDisabled, format!("{id} is disabled; enable it first"))
    })?;
    let spool = &api.parts.spool;
    let kept = spool.providers().await?.into_iter().find(|record| record.id == id);
    let mut record = kept.unwrap_or_else(|| ProviderRecord {
        id: id.clone(),
        kind: before.kind,
        admin: String::new(),
        hosted: !before.remote,
        capabilities: before.capabilities,
        gate_until: None,
        fault: None,
        last_seen: None,
    });
    record.admin = admin.as_str().to_owned();
    spool.put_provider(&record).await?;
    api.parts.registry.administer(&id, admin).map_err(|_| unknown(id.as_str()))?;
    tracing::info!(provider = %id, admin = admin.as_str(), "operator's word taken");
    let after = view(api, &id)?;
    Ok(Json(Provider::of(&after, SystemTime::now())).into_response())
}

/// It finishes what it has and takes nothing new.
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    administer(&api, &id, Word::Drain).await
}

/// It takes mail again after a drain.
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    administer(&api, &id, Word::Resume).await
}

/// It takes nothing.
pub(super) async fn disable(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    administer(&api, &id, Word::Disable).await
}

/// It takes mail again, whatever was said before.
pub(super) async fn enable(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    administer(&api, &id, Word::Enable).await
}
