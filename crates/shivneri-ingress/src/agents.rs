//! Letting agents in.

use std::time::SystemTime;

use shivneri_core::{AgentId, ProviderId};
use shivneri_spool::{AgentIdentity, Register, Spool, SpoolError};

use crate::token;

/// An agent could not be let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    /// There is one of that name; its token stays as it is.
    #[error("agent {0} exists already; remove it first to give it a new token")]
    Exists(AgentId),
    /// Its identity could not be kept.
    #[error("the identity of agent {agent} could not be kept")]
    Spool {
        /// The agent.
        agent: AgentId,
        /// Why not.
        #[source]
        source: SpoolError,
    },
}

/// Lets an agent in that serves this provider, and gives its token: `sht_` and 256 random bits.
/// The token is shown once; only its digest is kept.
///
/// Two calls for one id at the same time may both succeed, and the later token holds.
///
/// # Errors
///
/// [`AgentError`] where the agent exists, or its identity could not be kept.
pub async fn add(
    spool: &dyn Spool,
    id: &AgentId,
    provider: &ProviderId,
) -> Result<String, AgentError> {
    let failed = |source| AgentError::Spool { agent: id.clone(), source };
    let known = spool.agents().await.map_err(failed)?;
    if known.iter().any(|agent| agent.id == *id) {
        return Err(AgentError::Exists(id.clone()));
    }
    let token = token::generate("sht_");
    let identity = AgentIdentity {
        id: id.clone(),
        provider: provider.clone(),
        token_sha256: digest(&token),
        created_at: SystemTime::now(),
    };
    spool.put_agent(&identity).await.map_err(failed)?;
    tracing::info!(agent = %id, %provider, "agent identity added");
    Ok(token)
}

/// The digest of a token that was chosen elsewhere, as it is kept in an [`AgentIdentity`].
pub fn digest(token: &str) -> [u8; 32] {
    token::digest_of(token.as_bytes())
}

/// Whether this token is the one of that digest, in a time that tells nothing of it.
pub fn proves(token: &str, digest: &[u8; 32]) -> bool {
    token::same(&token::digest_of(token.as_bytes()), digest)
}
