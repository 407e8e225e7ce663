//! Which agents are let in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use shivneri_core::{AgentId, AttemptId, ProviderId, Registry};
use shivneri_ingress::agents;
use shivneri_providers::Secret;
use shivneri_spool::{Register as _, Spool};
use shivneri_transport::{Caller, Directory, Hub, Refusal};

use crate::config::{AgentConfig, ProviderConfig};

/// The identities from the configuration and the spool, and what kind each account is of.
#[derive(Debug)]
pub(crate) struct Identities {
    spool: Arc<dyn Spool>,
    configured: BTreeMap<AgentId, (ProviderId, Secret)>,
    /// The configured accounts: of which kind, and whether the server hosts them itself.
    accounts: BTreeMap<ProviderId, (String, bool)>,
}

impl Identities {
    pub(crate) fn new(
        spool: Arc<dyn Spool>,
        configured: &[AgentConfig],
        providers: &[ProviderConfig],
    ) -> Self {
        let identity =
            |agent: &AgentConfig| (agent.id.clone(), (agent.provider.clone(), agent.token.clone()));
        let account = |p: &ProviderConfig| (p.id.clone(), (p.kind.clone(), p.hosted));
        Self {
            spool,
            configured: configured.iter().map(identity).collect(),
            accounts: providers.iter().map(account).collect(),
        }
    }

    /// An agent's word creates no trust: it must be an identity that was set up, or, as long as
    /// none was, come from this machine.
    async fn authenticate(&self, caller: &Caller<'_>) -> Result<(), Refusal> {
        let unauthenticated = |reason: &str| Refusal::Unauthenticated {
            agent: caller.agent.clone(),
            reason: reason.to_owned(),
        };
        let kept = self
            .spool
            .agents()
            .await
            .map_err(|error| Refusal::Unavailable { reason: error.to_string() })?;
        let configured = self.configured.get(caller.agent);
        let expected = match (configured, kept.iter().find(|agent| agent.id == *caller.agent)) {
            (Some((provider, token)), _) => Some((provider, agents::digest(token.expose()))),
            (None, Some(agent)) => Some((&agent.provider, agent.token_sha256)),
            (None, None) => None,
        };
        let Some((provider, digest)) = expected else {
            let none_known = self.configured.is_empty() && kept.is_empty();
            return match caller.peer {
                Some(peer) if none_known && peer.ip().is_loopback() => Ok(()),
                Some(_) | None if none_known => Err(unauthenticated(
                    "no agent identity exists yet, so agents are welcome on loopback only",
                )),
                Some(_) | None => Err(unauthenticated("no such agent was added")),
            };
        };
        let token = caller.token.ok_or_else(|| unauthenticated("no token was given"))?;
        if !agents::proves(token.expose_secret(), &digest) {
            return Err(unauthenticated("the token is not the one it was given"));
        }
        if provider != caller.provider {
            return Err(Refusal::Forbidden {
                agent: caller.agent.clone(),
                provider: caller.provider.clone(),
                reason: format!("it was added for {provider}"),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Directory for Identities {
    async fn admit(&self, caller: &Caller<'_>) -> Result<(), Refusal> {
        self.authenticate(caller).await?;
        match self.accounts.get(caller.provider) {
            Some((_, true)) => Err(Refusal::Forbidden {
                agent: caller.agent.clone(),
                provider: caller.provider.clone(),
                reason: "it lives in the server".to_owned(),
            }),
            Some((kind, false)) if kind != caller.kind => Err(Refusal::KindMismatch {
                agent: caller.agent.clone(),
                provider: caller.provider.clone(),
                expected: kind.clone(),
                brought: caller.kind.to_owned(),
            }),
            Some((_, false)) | None => Ok(()),
        }
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, Refusal> {
        self.spool
            .next_generation(agent)
            .await
            .map_err(|error| Refusal::Unavailable { reason: error.to_string() })
    }

    async fn may_start(&self, _: AttemptId, epoch: u64) -> bool {
        // The lock on the data directory makes this process the only owner.
        epoch == self.spool.epoch()
    }
}

/// How often withdrawn identities are looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// Ends the sessions of agents that would not be let in any more, until it is dropped.
pub(crate) async fn end_withdrawn(identities: Arc<Identities>, registry: Arc<Registry>, hub: Hub) {
    let mut ticker = tokio::time::interval(PERIOD);
    loop {
        ticker.tick().await;
        // What can't be read now is looked at again.
        let Ok(kept) = identities.spool.agents().await else { continue };
        if identities.configured.is_empty() && kept.is_empty() {
            continue;
        }
        for agent in registry.views().into_iter().flat_map(|view| view.agents) {
            let known = identities.configured.contains_key(&agent.id)
                || kept.iter().any(|kept| kept.id == agent.id);
            if !known && hub.dismiss(&agent.id) {
                tracing::info!(agent = %agent.id, "agent's session ended, its identity was withdrawn");
            }
        }
    }
}
