//! How the server fares.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shivneri_core::Registry;
use shivneri_spool::{SpoolHealth, SpoolState, Status};

use super::Api;
use crate::{metrics::Format, problem::Problem};

#[derive(Debug, Serialize)]
struct Audit {
    accepted: u64,
    states: BTreeMap<Status, u64>,
    purged: u64,
    gap: i64,
}

pub(super) async fn audit(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let audit = api.parts.spool.audit().await?;
    let gap = audit.gap();
    let shivneri_spool::Audit { accepted, states, purged, stranded: _ } = audit;
    Ok(Json(Audit { accepted, states, purged, gap }).into_response())
}

/// Whoever can answer lives.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Readiness {
    accept: &'static str,
    dispatch: &'static str,
    reason: Option<String>,
}

pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let readiness = readiness(&api.parts.spool.health(), &api.parts.registry);
    let status =
        if readiness.accept == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

fn readiness(spool: &SpoolHealth, registry: &Registry) -> Readiness {
    let stopped = match &spool.state {
        SpoolState::Open => None,
        SpoolState::Poisoned { reason } => Some(format!("the queue has stopped: {reason}")),
        SpoolState::Closed => Some("the queue is closed".to_owned()),
    };
    // A queue that has stopped gives nothing out either.
    if let Some(reason) = stopped {
        return Readiness { accept: "refused", dispatch: "held", reason: Some(reason) };
    }
    let held = (!registry.can_dispatch()).then(|| why_held(registry));
    let full = spool.full.as_ref().map(|reason| format!("the queue is full: {reason}"));
    let accept = if full.is_some() { "refused" } else { "ok" };
    let dispatch = if held.is_some() { "held" } else { "ok" };
    let reasons: Vec<_> = full.into_iter().chain(held).collect();
    let reason = if reasons.is_empty() { None } else { Some(reasons.join("; ")) };
    Readiness { accept, dispatch, reason }
}

/// Why no provider takes mail, one by one.
fn why_held(registry: &Registry) -> String {
    let views = registry.views();
    if views.is_empty() {
        return "no provider is known".to_owned();
    }
    let of_one = |view: &shivneri_core::registry::ProviderView| {
        if view.reason.is_empty() {
            format!("{} is {}", view.id, view.status)
        } else {
            format!("{} is {} ({})", view.id, view.status, view.reason)
        }
    };
    views.iter().map(of_one).collect::<Vec<_>>().join("; ")
}

pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::wished(accept.unwrap_or_default());
    let parts = &api.parts;
    let text = parts.metrics.scrape(parts.spool.as_ref(), &parts.registry, format).await?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

#[cfg(test)]
mod tests {
    use shivneri_core::health::HealthPolicy;
    use shivneri_spool::Commits;

    use super::*;

    #[test]
    fn a_poisoned_queue_takes_nothing_and_gives_nothing() {
        let state = SpoolState::Poisoned { reason: "disk gone".to_owned() };
        let health = SpoolHealth { state, full: None, commits: Commits::default() };
        let readiness = readiness(&health, &Registry::new(HealthPolicy::default()));
        assert_eq!((readiness.accept, readiness.dispatch), ("refused", "held"));
        assert!(readiness.reason.is_some_and(|reason| reason.contains("disk gone")));
    }
}
