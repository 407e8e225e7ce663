//! What all parts of a hub share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use shivneri_core::{AgentId, AttemptId, Capabilities, EmailProvider, LateOutcomes, ProviderId};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tonic::Status;
use uuid::Uuid;

use super::{
    Caller, Directory, HubOptions, Refusal, RemoteProvider, Sessions,
    service::refused,
    session::{Opening, Outgoing, Session, Taking},
    settling::{Late, Settling},
};
use crate::wire::{self, server_frame::Frame};

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) options: HubOptions,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) late: Arc<dyn LateOutcomes>,
    pub(super) settling: Arc<Settling>,
    roster: Mutex<Roster>,
    stopping: AtomicBool,
    idle: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Roster {
    providers: HashMap<ProviderId, Arc<RemoteProvider>>,
    agents: HashMap<AgentId, Arc<Session>>,
    by_key: HashMap<Uuid, Arc<Session>>,
}

impl Inner {
    pub(super) fn new(
        options: HubOptions,
        directory: Arc<dyn Directory>,
        sessions: Arc<dyn Sessions>,
        late: Arc<dyn LateOutcomes>,
    ) -> Self {
        Self {
            options,
            directory,
            sessions,
            late,
            settling: Arc::default(),
            roster: Mutex::default(),
            stopping: AtomicBool::new(false),
            idle: Arc::default(),
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) async fn admit(&self, caller: &Caller<'_>) -> Result<(), Refusal> {
        if self.is_stopping() {
            return Err(Refusal::Unavailable { reason: "the server is going down".into() });
        }
        self.directory.admit(caller).await
    }

    pub(super) fn provider(
        &self,
        id: &ProviderId,
        kind: &str,
        capabilities: Capabilities,
    ) -> Result<Arc<RemoteProvider>, String> {
        let mut roster = self.roster();
        let make = || {
            let (validity, question) = (self.options.validity, self.options.question_timeout);
            let kind = kind.to_owned();
            Arc::new(RemoteProvider::new(id.clone(), kind, capabilities, validity, question))
        };
        let provider = roster.providers.entry(id.clone()).or_insert_with(make);
        if provider.kind() == kind { Ok(Arc::clone(provider)) } else { Err(provider.kind().into()) }
    }

    pub(super) fn forget(&self, id: &ProviderId) -> bool {
        let mut roster = self.roster();
        let served = roster.agents.values().any(|session| session.provider == *id);
        !served && roster.providers.remove(id).is_some()
    }

    pub(super) fn provider_of(&self, session: &Session) -> Arc<RemoteProvider> {
        let known = self.roster().providers.get(&session.provider).cloned();
        known.expect("a provider is not forgotten while it has a session")
    }

    pub(super) fn session(&self, key: &Uuid) -> Option<Arc<Session>> {
        self.roster().by_key.get(key).cloned()
    }

    /// Begins a session; one of the same agent that is still there is superseded.
    pub(super) fn begin(
        &self,
        opening: Opening,
        kind: &str,
    ) -> Result<(Arc<Session>, mpsc::Receiver<Outgoing>), Status> {
        let agent = opening.identity.agent.clone();
        let generation = opening.identity.generation;
        let capabilities = opening.capabilities.clone();
        let provider =
            self.provider(&opening.provider, kind, capabilities).map_err(|expected| {
                refused(&Refusal::KindMismatch {
                    agent: agent.clone(),
                    provider: opening.provider.clone(),
                    expected,
                    brought: kind.to_owned(),
                })
            })?;
        let settling = Arc::clone(&self.settling);
        let (session, queue) =
            Session::new(opening, settling, Arc::clone(&self.idle), self.options.clock.clone());
        let session = Arc::new(session);
        let before = {
            let mut roster = self.roster();
            let newer = |one: &Arc<Session>| one.identity.generation > generation;
            if roster.agents.get(&agent).is_some_and(newer) {
                return Err(Status::aborted("a newer connection of this agent took over"));
            }
            roster.by_key.insert(session.key, Arc::clone(&session));
            // Forgotten meanwhile, or still there: now it has a session.
            roster.providers.insert(provider.id().clone(), provider);
            roster.agents.insert(agent, Arc::clone(&session))
        };
        if let Some(before) = before {
            before.push(Frame::Superseded(wire::Superseded {}));
            self.close(&before);
        }
        Ok((session, queue))
    }

    /// The agent has beaten: from the first time on its session takes offers.
    pub(super) fn open(&self, session: &Arc<Session>) {
        session.news.opened(|| {
            let taking = if self.is_stopping() { Taking::Nothing } else { Taking::Offers };
            session.set_taking(taking);
            let provider = self.provider_of(session);
            provider.join(Arc::clone(session));
            self.sessions.opened(provider, session.identity.clone(), session.window());
        });
    }

    /// Ends a session, once: nobody is sent there any more, and who waits is told what is known.
    pub(super) fn close(&self, session: &Arc<Session>) {
        let Some(remains) = session.end() else { return };
        let identity = &session.identity;
        let provider = {
            let mut roster = self.roster();
            roster.by_key.remove(&session.key);
            let same = |one: &Arc<Session>| one.identity.generation == identity.generation;
            if roster.agents.get(&identity.agent).is_some_and(same) {
                roster.agents.remove(&identity.agent);
            }
            roster.providers.get(&session.provider).cloned()
        };
        session.news.closed(|| {
            if let Some(provider) = provider {
                provider.leave(identity);
            }
            self.sessions.closed(&session.provider, &identity.agent, identity.generation);
        });
        session.release(remains);
    }

    pub(super) fn dismiss(&self, agent: &AgentId) -> bool {
        let session = self.roster().agents.get(agent).cloned();
        if let Some(session) = &session {
            self.close(session);
        }
        session.is_some()
    }

    /// A finding about an attempt that nobody waits for; if its commit is on the way, after that.
    pub(super) async fn late(&self, attempt: AttemptId, late: Late) {
        if let Some(late) = self.settling.defer(attempt, late) {
            self.settle_late(attempt, late).await;
        }
    }

    pub(super) async fn settle_late(&self, attempt: AttemptId, late: Late) {
        match self.late.report(attempt, &late.outcome).await {
            Ok(()) => {
                if let Some(reporter) = late.reporter {
                    reporter.acknowledge(attempt, &late.outcome);
                }
            }
            // Not acknowledged: the agent says it again.
            Err(error) => tracing::warn!(%attempt, %error, "a late outcome was not committed"),
        }
    }

    /// Passes on what waited for commits that nobody makes any more.
    pub(super) async fn sweep(&self) {
        for (attempt, commit) in self.settling.given_up() {
            if let Some(late) = commit.late {
                self.settle_late(attempt, late).await;
            }
        }
    }

    /// Lets nobody in any more, has unstarted offers given back, and waits for the others.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let sessions: Vec<_> = self.roster().agents.values().cloned().collect();
        for session in &sessions {
            session.set_taking(Taking::Nothing);
            session.push(Frame::Drain(wire::Drain {}));
        }
        let all_idle = async {
            loop {
                let changed = self.idle.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if sessions.iter().all(|session| session.is_idle()) {
                    return;
                }
                changed.await;
            }
        };
        if timeout(self.options.drain, all_idle).await.is_err() {
            tracing::warn!("some offers were still out when the drain's time was over");
        }
        self.shut();
    }

    /// Closes every session, and lets nobody in any more.
    pub(super) fn shut(&self) {
        self.stopping.store(true, Ordering::Release);
        let sessions: Vec<_> = self.roster().agents.values().cloned().collect();
        for session in &sessions {
            self.close(session);
        }
    }
}
