//! Agents' identities.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use shivneri_core::{AgentId, ProviderId, draft::FieldError};
use shivneri_spool::Register;

use super::{Api, List, compose, extract::Named, times::Shown};
use crate::{
    agents::{self, AgentError},
    problem::{Code, Problem},
};

#[derive(Debug, Serialize)]
struct Identity<'a> {
    id: &'a AgentId,
    provider: &'a ProviderId,
    created_at: Shown,
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let known = api.parts.spool.agents().await?;
    let data = known
        .iter()
        .map(|agent| Identity {
            id: &agent.id,
            provider: &agent.provider,
            created_at: Shown(agent.created_at),
        })
        .collect();
    Ok(Json(List { data }).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    id: Option<String>,
    provider: Option<String>,
}

impl Wanted {
    /// The names; the provider is the agent's own name where none is given.
    fn names(self) -> Result<(AgentId, ProviderId), Problem> {
        let mut errors = Vec::new();
        let Some(id) = self.id else { return Err(Problem::field("id", "is required")) };
        let provider = self.provider.unwrap_or_else(|| id.clone());
        let id = id.parse().map_err(|e| errors.push(FieldError::new("id", e))).ok();
        let provider =
            provider.parse().map_err(|e| errors.push(FieldError::new("provider", e))).ok();
        id.zip(provider).ok_or_else(|| Problem::fields(errors))
    }
}

#[derive(Debug, Serialize)]
struct Added<'a> {
    id: &'a AgentId,
    provider: &'a ProviderId,
    token: &'a str,
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let held = api.bodies.json(&head.headers, body).await?;
    let (id, provider) = compose::object::<Wanted>(&held.bytes)?.names()?;
    let naming = api.naming_agents.lock().await;
    let added = agents::add(api.parts.spool.as_ref(), &id, &provider).await;
    drop(naming);
    let token = added.map_err(|error| match error {
        AgentError::Exists(_) => Problem::new(Code::AgentExists, error.to_string()),
        AgentError::Spool { source, .. } => source.into(),
    })?;
    let added = Added { id: &id, provider: &provider, token: &token };
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    let unknown = || {
        let id: String = id.chars().take(80).collect();
        Problem::new(Code::UnknownAgent, format!("no agent {id:?} is known"))
    };
    let agent: AgentId = id.parse().map_err(|_| unknown())?;
    if !api.parts.spool.remove_agent(&agent).await? {
        return Err(unknown());
    }
    tracing::info!(%agent, "agent identity removed");
    Ok(StatusCode::NO_CONTENT.into_response())
}
