//! Who is told about agents' sessions.

use std::{fmt, sync::Arc};

use shivneri_core::{AgentId, AgentSession, EmailProvider, ProviderId, ProviderSettings, Registry};

use super::RemoteProvider;

/// Takes the news of agents' sessions. All methods return at once.
///
/// # Contract
///
/// * A session is [`opened`](Self::opened) by its first beat, not by its connection, and news of
///   it come between that and [`closed`](Self::closed), which comes once.
/// * Several agents may serve one provider; their sessions are independent.
pub trait Sessions: fmt::Debug + Send + Sync + 'static {
    /// An agent's session takes offers now, `window` at once. The provider is the same object
    /// for all sessions of its account.
    fn opened(&self, provider: Arc<RemoteProvider>, session: AgentSession, window: u32);

    /// The agent beat; `in_flight` sends run there.
    fn beat(&self, provider: &ProviderId, agent: &AgentId, generation: u64, in_flight: u32);

    /// The agent takes nothing new and finishes what it has.
    fn draining(&self, provider: &ProviderId, agent: &AgentId, generation: u64);

    /// The agent takes offers again after draining, or its window changed.
    fn ready(&self, provider: &ProviderId, agent: &AgentId, generation: u64, window: u32);

    /// The session is over.
    fn closed(&self, provider: &ProviderId, agent: &AgentId, generation: u64);
}

/// Passes the news on to core's [`Registry`], adding providers that it does not know yet.
pub struct RegistrySessions {
    registry: Arc<Registry>,
    settings: Box<dyn Fn(&ProviderId) -> ProviderSettings + Send + Sync>,
}

impl RegistrySessions {
    /// For this registry; `settings` gives a provider's when its first agent comes.
    pub fn new(
        registry: Arc<Registry>,
        settings: impl Fn(&ProviderId) -> ProviderSettings + Send + Sync + 'static,
    ) -> Self {
        Self { registry, settings: Box::new(settings) }
    }
}

impl fmt::Debug for RegistrySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySessions").finish_non_exhaustive()
    }
}

impl Sessions for RegistrySessions {
    fn opened(&self, provider: Arc<RemoteProvider>, session: AgentSession, window: u32) {
        let id = provider.id().clone();
        if !self.registry.contains(&id) {
            // Lost only to another agent of the same account, which added the same object.
            let _ = self.registry.add_remote(provider, (self.settings)(&id));
        }
        tell(&id, self.registry.session_opened(&id, session, window));
    }

    fn beat(&self, provider: &ProviderId, agent: &AgentId, generation: u64, _: u32) {
        tell(provider, self.registry.beat(provider, agent, generation));
    }

    fn draining(&self, provider: &ProviderId, agent: &AgentId, generation: u64) {
        tell(provider, self.registry.agent_draining(provider, agent, generation));
    }

    fn ready(&self, provider: &ProviderId, agent: &AgentId, generation: u64, window: u32) {
        tell(provider, self.registry.agent_ready(provider, agent, generation, window));
    }

    fn closed(&self, provider: &ProviderId, agent: &AgentId, generation: u64) {
        tell(provider, self.registry.session_closed(provider, agent, generation));
    }
}

/// A provider can be removed while an agent still serves it; its news then concern nobody.
fn tell(provider: &ProviderId, result: Result<(), shivneri_core::registry::UnknownProvider>) {
    if result.is_err() {
        tracing::debug!(%provider, "news of a provider that was removed");
    }
}
