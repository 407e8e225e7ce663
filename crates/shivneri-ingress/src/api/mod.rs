//! The HTTP API.

mod agents;
mod body;
mod changes;
mod compose;
mod extract;
mod mailbox;
mod messages;
mod providers;
mod query;
mod shown;
mod state;
mod times;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
    routing::{any, delete, get, post},
};
use body::Bodies;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::Serialize;
use shivneri_core::{ProviderId, Registry};
use shivneri_providers::sandbox::Taken;
use shivneri_spool::Spool;

use crate::{
    Access, Metrics, Scope, Submission,
    problem::{Code, Problem},
};

/// What the HTTP API is made of.
#[derive(Clone, Debug)]
pub struct IngressParts {
    /// Takes messages.
    pub submission: Arc<Submission>,
    /// Keeps them.
    pub spool: Arc<dyn Spool>,
    /// The providers.
    pub registry: Arc<Registry>,
    /// The sandboxes' mailboxes.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// The longest request body, in bytes; 40 MiB in a server without a configuration.
    pub max_body: usize,
}

impl IngressParts {
    /// The longest request body where nothing else is set: 40 MiB, which holds 25 MiB of
    /// attachments as base64.
    pub const MAX_BODY: usize = 40 << 20;
}

/// Where sandboxes' mailboxes are found.
pub trait Mailboxes: fmt::Debug + Send + Sync + 'static {
    /// What this provider took, where it is a sandbox of this process.
    fn mailbox(&self, provider: &ProviderId) -> MailboxAnswer;
}

/// A provider's mailbox, or why there is none.
#[derive(Clone, Debug)]
pub enum MailboxAnswer {
    /// It is no sandbox.
    NotASandbox,
    /// Its mailbox is in its agent's process.
    Elsewhere,
    /// What it took, newest first.
    Here(Vec<Taken>),
}

/// The parts and what the API needs besides.
#[derive(Debug)]
struct Api {
    parts: IngressParts,
    bodies: Bodies,
    /// Held while an agent's identity is looked for and written.
    naming_agents: tokio::sync::Mutex<()>,
}

/// The HTTP API as a router, its keys checked. Other routers may be merged with it; it answers
/// what nobody knows.
pub fn router(parts: IngressParts) -> Router {
    let access = parts.access.layer_by(needs);
    let bodies = Bodies::new(parts.max_body);
    let api = Arc::new(Api { parts, bodies, naming_agents: tokio::sync::Mutex::default() });
    Router::new()
        .route("/v1/messages", post(messages::accept).get(messages::list))
        // Nothing is there yet, neither of the path nor of the method.
        .route("/v1/messages/batch", any(wrong_path))
        .route("/v1/messages/{id}", get(messages::show).delete(wrong_path))
        .route("/v1/messages/{id}/cancel", post(changes::cancel))
        .route("/v1/messages/{id}/requeue", post(changes::requeue))
        .route("/v1/providers", get(providers::list))
        .route("/v1/providers/{id}/mailbox", get(mailbox::show))
        .route("/v1/providers/{id}/drain", post(providers::drain))
        .route("/v1/providers/{id}/resume", post(providers::resume))
        .route("/v1/providers/{id}/disable", post(providers::disable))
        .route("/v1/providers/{id}/enable", post(providers::enable))
        .route("/v1/agents", get(agents::list).post(agents::add))
        .route("/v1/agents/{id}", delete(agents::remove))
        .route("/v1/audit", get(state::audit))
        .route("/livez", get(state::livez))
        .route("/readyz", get(state::readyz))
        .route("/metrics", get(state::metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .with_state(api)
        .layer(access)
        .layer(middleware::from_fn(guard_answers))
}

/// What a request must be allowed to do.
fn needs(method: &Method, path: &str) -> Option<Scope> {
    match (method, path) {
        (_, "/livez" | "/readyz" | "/metrics") => None,
        (&Method::POST, "/v1/messages") => Some(Scope::Send),
        (method, _) if method.is_safe() => Some(Scope::Read),
        _ => Some(Scope::Admin),
    }
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}

async fn wrong_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}", uri.path()))
}

/// Answers are for the one who asked: no cache keeps them and no browser guesses what they are.
async fn guard_answers(request: Request, next: Next) -> Response {
    const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A list as every call gives it.
#[derive(Debug, Serialize)]
struct List<T> {
    data: Vec<T>,
}
