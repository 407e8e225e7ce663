//! Who may come in, as the server decides it.

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use secrecy::SecretString;
use shivneri_core::{AgentId, AttemptId, ProviderId};

/// An agent that asks to be let in.
#[derive(Debug)]
pub struct Caller<'a> {
    /// The identity it claims.
    pub agent: &'a AgentId,
    /// The account it says it serves.
    pub provider: &'a ProviderId,
    /// That account's kind, as `sendgrid`.
    pub kind: &'a str,
    /// The token it brought.
    pub token: Option<&'a SecretString>,
    /// Where it calls from.
    pub peer: Option<SocketAddr>,
}

/// Why an agent is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It did not prove who it is.
    #[error("agent {agent} is not authenticated: {reason}")]
    Unauthenticated {
        /// The identity it claimed.
        agent: AgentId,
        /// What was wrong, without the token.
        reason: String,
    },
    /// It is who it says, and may not serve that account.
    #[error("agent {agent} may not serve {provider}: {reason}")]
    Forbidden {
        /// The agent.
        agent: AgentId,
        /// The account it asked for.
        provider: ProviderId,
        /// Why not.
        reason: String,
    },
    /// The account is of another kind than the agent serves.
    #[error("provider {provider} is of kind {expected}, agent {agent} brings {brought}")]
    KindMismatch {
        /// The agent.
        agent: AgentId,
        /// The account.
        provider: ProviderId,
        /// The account's kind.
        expected: String,
        /// The kind the agent brings.
        brought: String,
    },
    /// Not now; it may dial again.
    #[error("no agent can be admitted now: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// The server's book of identities, generations and ownership.
///
/// # Contract
///
/// * [`admit`](Self::admit) trusts only what was set up beforehand: an agent's word creates
///   nothing.
/// * [`next_generation`](Self::next_generation) never gives the same number twice for an agent,
///   nor a lower one later, restarts included.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// Lets an agent in or says why not.
    ///
    /// # Errors
    ///
    /// [`Refusal`], whose text goes to the agent.
    async fn admit(&self, caller: &Caller<'_>) -> Result<(), Refusal>;

    /// The number of this agent's next session, higher than all before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] where it could not be kept.
    async fn next_generation(&self, agent: &AgentId) -> Result<u64, Refusal>;

    /// Whether this server still owns the attempt's epoch, so that it may say *go*. A queue with
    /// one owner says yes.
    async fn may_start(&self, attempt: AttemptId, epoch: u64) -> bool;
}
