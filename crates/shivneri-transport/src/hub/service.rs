//! The two gRPC methods: how a session begins, and how bodies are fetched.

use std::{collections::HashSet, pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use secrecy::SecretString;
use shivneri_core::{AgentId, AgentSession, ProviderId};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    Caller, Inner, Refusal, driver::drive, outgoing::OutgoingFrames, reconcile::Claims,
    session::Opening,
};
use crate::{
    frame::{FrameError, attempt_id, decode_capabilities, uuid, uuid_bytes},
    protocol::{CHUNK, GREETING, REFUSAL, negotiate, spoken},
    wire::{self, agent_frame, agents_server::Agents, server_frame::Frame},
};

/// What serves one session, handed to the hub to run.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub(super) struct Service {
    pub(super) hub: Arc<Inner>,
    pub(super) drivers: mpsc::Sender<Driver>,
    /// Who has not yet proven anything, and may send a Hello of 16 MiB.
    pub(super) greetings: Semaphore,
}

/// How many greetings are listened to at once.
pub(super) const GREETINGS: usize = 64;

#[tonic::async_trait]
impl Agents for Service {
    type SessionStream = OutgoingFrames;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentFrame>>,
    ) -> Result<Response<OutgoingFrames>, Status> {
        let _greeting = self
            .greetings
            .try_acquire()
            .map_err(|_| Status::resource_exhausted("too many agents greet at once"))?;
        let peer = request.remote_addr();
        let token = bearer(request.metadata());
        let mut frames = request.into_inner();
        let first = timeout(GREETING, frames.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello came in time"))??;
        let Some(agent_frame::Frame::Hello(hello)) = first.and_then(|first| first.frame) else {
            return Err(Status::invalid_argument("the first frame must be a Hello"));
        };
        let protocol = negotiate(&spoken(), hello.protocol_min, hello.protocol_max);
        let protocol = protocol.ok_or_else(|| protocol_refused(&hello))?;
        let agent: AgentId = name("agent", &hello.agent)?;
        let provider: ProviderId = name("provider", &hello.provider)?;
        if !is_kind(&hello.kind) {
            return Err(Status::invalid_argument("kind is not 1 to 64 of a-z 0-9 _ -"));
        }
        let caller = Caller {
            agent: &agent,
            provider: &provider,
            kind: &hello.kind,
            token: token.as_ref(),
            peer,
        };
        self.hub.admit(&caller).await.map_err(|refusal| refused(&refusal))?;
        let journal = uuid("journal", &hello.journal).map_err(|error| invalid(&error))?;
        let ours = self.hub.options.incarnation;
        let claims = Claims::read(hello.entries, &hello.incarnation, ours);
        let claims = claims.map_err(|error| invalid(&error))?;
        if hello.window == 0 {
            return Err(Status::invalid_argument("window must be at least 1"));
        }
        let generation = self.hub.directory.next_generation(&agent).await;
        let generation = generation.map_err(|refusal| refused(&refusal))?;
        let opening = Opening {
            identity: AgentSession { agent: agent.clone(), generation, journal },
            provider: provider.clone(),
            window: hello.window,
            capabilities: hello.capabilities.map(decode_capabilities).unwrap_or_default(),
            running: claims.running().collect::<HashSet<_>>(),
        };
        let (session, queue) = self.hub.begin(opening, &hello.kind)?;
        let outgoing =
            OutgoingFrames { queue, session: Arc::clone(&session), hub: Arc::clone(&self.hub) };
        let beat_ms = u32::try_from(self.hub.options.beat.as_millis()).unwrap_or(u32::MAX);
        session.push(Frame::Welcome(wire::Welcome {
            protocol,
            generation,
            session: uuid_bytes(&session.key),
            incarnation: uuid_bytes(&ours),
            beat_ms,
        }));
        let boot: String =
            hello.boot.chars().filter(char::is_ascii_alphanumeric).take(36).collect();
        let window = hello.window;
        tracing::info!(%agent, %provider, kind = %hello.kind, generation, %journal, window, %boot, "agent connected");
        let driver = drive(Arc::clone(&self.hub), session, frames, claims);
        let going_down = |_| Status::unavailable("the server is going down");
        self.drivers.send(Box::pin(driver)).await.map_err(going_down)?;
        Ok(Response::new(outgoing))
    }

    type BodyStream = Pin<Box<dyn Stream<Item = Result<wire::BodyChunk, Status>> + Send>>;

    async fn body(
        &self,
        request: Request<wire::BodyRequest>,
    ) -> Result<Response<Self::BodyStream>, Status> {
        let request = request.into_inner();
        let key = uuid("session", &request.session).map_err(|error| invalid(&error))?;
        let attempt = attempt_id(&request.attempt).map_err(|error| invalid(&error))?;
        let session = self.hub.session(&key);
        let body = session
            .and_then(|session| session.body(attempt))
            .ok_or_else(|| Status::not_found("no such offer is out in that session"))?;
        let chunks = (0..body.len()).step_by(CHUNK).map(move |at| {
            let end = body.len().min(at + CHUNK);
            Ok(wire::BodyChunk { content: body.slice(at..end) })
        });
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }
}

fn bearer(metadata: &MetadataMap) -> Option<SecretString> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().into())
}

fn name<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Status> {
    text.parse().map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}

fn is_kind(kind: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=64).contains(&kind.len()) && kind.bytes().all(fits)
}

fn invalid(error: &FrameError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn protocol_refused(hello: &wire::Hello) -> Status {
    let (ours, theirs) = (spoken(), hello.protocol_min..=hello.protocol_max);
    let text = format!(
        "no common protocol version: this server speaks {} to {}, the agent {} to {}",
        ours.start(),
        ours.end(),
        theirs.start(),
        theirs.end(),
    );
    with_reason(Status::failed_precondition(text), "protocol")
}

pub(super) fn refused(refusal: &Refusal) -> Status {
    let (code, reason) = match refusal {
        Refusal::Unauthenticated { .. } => (Code::Unauthenticated, "token"),
        Refusal::Forbidden { .. } => (Code::PermissionDenied, "identity"),
        Refusal::KindMismatch { .. } => (Code::FailedPrecondition, "kind"),
        Refusal::Unavailable { .. } => (Code::Unavailable, "unavailable"),
    };
    with_reason(Status::new(code, refusal.to_string()), reason)
}

/// Adds the reason as a word that programs can read.
fn with_reason(mut status: Status, reason: &'static str) -> Status {
    status.metadata_mut().insert(REFUSAL, reason.parse().expect("a plain word is valid"));
    status
}
