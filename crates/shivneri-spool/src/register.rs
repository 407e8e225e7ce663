//! The server's small durable records: providers it has seen, agents' identities, API keys.

use std::{collections::BTreeMap, time::SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shivneri_core::{AgentId, Capabilities, ProviderId};

use crate::{Spool, SpoolError, model::pause};

/// A kind of small record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shelf {
    /// [`ProviderRecord`]s.
    Providers,
    /// [`AgentIdentity`]s.
    Agents,
    /// [`ApiKey`]s.
    Keys,
    /// Until when a provider asked to be left alone. The spool itself keeps it, in the commit of the
    /// attempt's end.
    Pauses,
    /// Addresses that no mail goes to.
    Suppressions,
    /// Webhooks to the application.
    Endpoints,
}

impl Shelf {
    /// Its name where it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Agents => "agents",
            Self::Keys => "keys",
            Self::Pauses => "pauses",
            Self::Suppressions => "suppressions",
            Self::Endpoints => "endpoints",
        }
    }
}

/// A provider account as it was last known, so that a restart forgets neither an operator's word
/// nor a pause the provider asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderRecord {
    /// The account.
    pub id: ProviderId,
    /// The kind of service.
    pub kind: String,
    /// The operator's word: `enabled`, `draining` or `disabled`.
    pub admin: String,
    /// Whether it lives in the server; otherwise agents serve it.
    #[serde(default)]
    pub hosted: bool,
    /// What it could carry when last seen.
    pub capabilities: Capabilities,
    /// Not to be called before this time.
    #[serde(default)]
    pub gate_until: Option<SystemTime>,
    /// The account's fault, in its word.
    #[serde(default)]
    pub fault: Option<String>,
    /// When it was last seen.
    #[serde(default)]
    pub last_seen: Option<SystemTime>,
}

/// An agent that is allowed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentIdentity {
    /// The agent.
    pub id: AgentId,
    /// The account it serves.
    pub provider: ProviderId,
    /// The SHA-256 digest of its token.
    pub token_sha256: [u8; 32],
    /// When it was added.
    pub created_at: SystemTime,
}

impl std::fmt::Debug for AgentIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentIdentity")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// An API key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id, which is no secret.
    pub id: String,
    /// Its name, which owns what is sent with it.
    pub name: String,
    /// The SHA-256 digest of its secret.
    pub secret_sha256: [u8; 32],
    /// What it allows: `send`, `read`, `admin`.
    pub scopes: Vec<String>,
    /// The sender domains it may use; none: all.
    #[serde(default)]
    pub domains: Option<Vec<String>>,
    /// When it was made.
    pub created_at: SystemTime,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// The typed face of a spool's shelves. Every spool has it.
#[async_trait]
pub trait Register {
    /// Keeps what is known of a provider, in place of what was kept before.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn put_provider(&self, provider: &ProviderRecord) -> Result<(), SpoolError>;
    /// The providers ever seen and not removed, by id.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn providers(&self) -> Result<Vec<ProviderRecord>, SpoolError>;
    /// Until when providers asked to be left alone, as the ends of attempts told it; pauses that are
    /// over among them.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn pauses(&self) -> Result<BTreeMap<ProviderId, SystemTime>, SpoolError>;
    /// Forgets a provider and its pause; whether there was one.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn remove_provider(&self, id: &ProviderId) -> Result<bool, SpoolError>;
    /// Lets an agent in.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn put_agent(&self, agent: &AgentIdentity) -> Result<(), SpoolError>;
    /// The agents that are let in, by id.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn agents(&self) -> Result<Vec<AgentIdentity>, SpoolError>;
    /// Lets an agent in no more; whether there was one.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn remove_agent(&self, id: &AgentId) -> Result<bool, SpoolError>;
    /// Keeps an API key.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn put_key(&self, key: &ApiKey) -> Result<(), SpoolError>;
    /// The API keys, by id.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where they could not be read.
    async fn keys(&self) -> Result<Vec<ApiKey>, SpoolError>;
    /// Revokes an API key; whether there was one.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed.
    async fn remove_key(&self, id: &str) -> Result<bool, SpoolError>;
}

#[async_trait]
impl<S: Spool + ?Sized> Register for S {
    async fn put_provider(&self, provider: &ProviderRecord) -> Result<(), SpoolError> {
        put(self, Shelf::Providers, provider.id.as_str(), provider).await
    }

    async fn providers(&self) -> Result<Vec<ProviderRecord>, SpoolError> {
        all(self, Shelf::Providers).await
    }

    async fn pauses(&self) -> Result<BTreeMap<ProviderId, SystemTime>, SpoolError> {
        let read = |(key, bytes): (String, Vec<u8>)| {
            let pause = key.parse().ok().zip(pause::read(&bytes));
            if pause.is_none() {
                tracing::warn!(provider = key, "the record of a pause is damaged");
            }
            pause
        };
        Ok(self.shelf(Shelf::Pauses).await?.into_iter().filter_map(read).collect())
    }

    async fn remove_provider(&self, id: &ProviderId) -> Result<bool, SpoolError> {
        self.put(Shelf::Pauses, id.as_str(), None).await?;
        self.put(Shelf::Providers, id.as_str(), None).await
    }

    async fn put_agent(&self, agent: &AgentIdentity) -> Result<(), SpoolError> {
        put(self, Shelf::Agents, agent.id.as_str(), agent).await
    }

    async fn agents(&self) -> Result<Vec<AgentIdentity>, SpoolError> {
        all(self, Shelf::Agents).await
    }

    async fn remove_agent(&self, id: &AgentId) -> Result<bool, SpoolError> {
        self.put(Shelf::Agents, id.as_str(), None).await
    }

    async fn put_key(&self, key: &ApiKey) -> Result<(), SpoolError> {
        put(self, Shelf::Keys, &key.id, key).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, SpoolError> {
        all(self, Shelf::Keys).await
    }

    async fn remove_key(&self, id: &str) -> Result<bool, SpoolError> {
        self.put(Shelf::Keys, id, None).await
    }
}

async fn put<S: Spool + ?Sized, T: Serialize + Sync>(
    spool: &S,
    shelf: Shelf,
    key: &str,
    record: &T,
) -> Result<(), SpoolError> {
    let bytes = serde_json::to_vec(record).map_err(|e| SpoolError::Write {
        reason: format!("{} record {key}: {e}", shelf.as_str()),
    })?;
    spool.put(shelf, key, Some(bytes)).await.map(|_| ())
}

async fn all<S: Spool + ?Sized, T: DeserializeOwned>(
    spool: &S,
    shelf: Shelf,
) -> Result<Vec<T>, SpoolError> {
    let read = |(key, bytes): (String, Vec<u8>)| {
        serde_json::from_slice(&bytes).map_err(|e| SpoolError::Read {
            reason: format!("{} record {key}: {e}", shelf.as_str()),
        })
    };
    spool.shelf(shelf).await?.into_iter().map(read).collect()
}
