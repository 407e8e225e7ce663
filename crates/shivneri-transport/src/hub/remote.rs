//! A provider account whose credentials live with its agents.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::{
    AgentId, AgentSession, Attempt, Capabilities, Email, EmailProvider, Lookup, ProviderId,
    Receipt, SendError,
};
use tokio::time::{Instant, timeout};

use super::{questions::Reply, session::Session};
use crate::{
    frame::{decode_failure, decode_lookup, encode_attempt},
    wire::{self, server_frame::Frame},
};

/// How much longer than the attempt's timeout the server waits, for the agent's word to arrive.
const GRACE: Duration = Duration::from_secs(2);

/// An [`EmailProvider`] whose sends happen at its agents.
///
/// An attempt goes to the agent's session that it names and to no other. Where that session is
/// over, drains, or has no place left, the answer is `not_started` at once. Where the connection
/// is lost while an offer is out, the answer is `not_started` if the agent can't have acted on
/// it, and strong doubt otherwise.
#[derive(Debug)]
pub struct RemoteProvider {
    id: ProviderId,
    kind: String,
    sessions: Mutex<HashMap<AgentId, Arc<Session>>>,
    capabilities: RwLock<Arc<Capabilities>>,
    validity: Duration,
    question_timeout: Duration,
}

impl RemoteProvider {
    pub(super) fn new(
        id: ProviderId,
        kind: String,
        capabilities: Capabilities,
        validity: Duration,
        question_timeout: Duration,
    ) -> Self {
        Self {
            id,
            kind,
            sessions: Mutex::default(),
            capabilities: RwLock::new(Arc::new(capabilities)),
            validity,
            question_timeout,
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, session: Arc<Session>) {
        self.sessions().insert(session.identity.agent.clone(), session);
        self.agree();
    }

    pub(super) fn leave(&self, session: &AgentSession) {
        let mut sessions = self.sessions();
        let same = |one: &Arc<Session>| one.identity.generation == session.generation;
        if sessions.get(&session.agent).is_some_and(same) {
            sessions.remove(&session.agent);
        }
        drop(sessions);
        self.agree();
    }

    /// Works out anew what all live agents can carry; without any it stays as it was.
    pub(super) fn agree(&self) {
        let sessions = self.sessions();
        let all = sessions.values().map(|session| session.capabilities());
        let common = all.reduce(|one, two| Arc::new(one.intersect(&two)));
        if let Some(common) = common {
            // Under the sessions' lock, so that an older result can't overwrite a newer one.
            *self.capabilities.write().unwrap_or_else(PoisonError::into_inner) = common;
        }
    }

    fn session_of(&self, attempt: &Attempt) -> Result<Arc<Session>, SendError> {
        let named = attempt
            .session
            .as_ref()
            .ok_or_else(|| SendError::not_started("the attempt names no agent's session"))?;
        self.sessions()
            .get(&named.agent)
            .filter(|session| session.identity == *named)
            .cloned()
            .ok_or_else(|| SendError::not_started("the agent's session is over"))
    }

    /// Puts a question to the live agent that has least to do.
    async fn ask(&self, question: impl FnOnce(u64) -> Frame + Send) -> Result<Reply, SendError> {
        let session = {
            let sessions = self.sessions();
            sessions.values().min_by_key(|one| one.in_flight()).cloned()
        };
        let session = session.ok_or_else(|| SendError::not_started("no agent is connected"))?;
        let answered = session.ask(question)?;
        match timeout(self.question_timeout, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(SendError::not_started("the agent's connection closed")),
            Err(_) => Err(SendError::not_started("no answer from the agent in time")),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl EmailProvider for RemoteProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    /// What every live agent of the account can carry; without one, what could be carried last.
    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        let deadline = Instant::now() + attempt.timeout + GRACE;
        let session = self.session_of(attempt)?;
        // At least half of the time is left to the provider.
        let validity = self.validity.min(attempt.timeout / 2);
        session.offer(email, attempt, validity)?.outcome(deadline).await
    }

    async fn lookup(&self, attempt: &Attempt) -> Result<Lookup, SendError> {
        let attempt = Some(encode_attempt(attempt));
        let question = |id| Frame::LookupRequest(wire::LookupRequest { id, attempt });
        let Reply::LookupReport(report) = self.ask(question).await? else {
            return Err(confused());
        };
        decode_lookup(report.answer)
    }

    async fn probe(&self) -> Result<(), SendError> {
        let question = |id| Frame::ProbeRequest(wire::ProbeRequest { id });
        let Reply::ProbeReport(report) = self.ask(question).await? else {
            return Err(confused());
        };
        report.failure.map_or(Ok(()), |failure| Err(decode_failure(failure)))
    }
}

fn confused() -> SendError {
    SendError::not_started("the agent answered another question")
}
