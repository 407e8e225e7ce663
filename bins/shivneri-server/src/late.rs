//! The courier, for a hub that is made before it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use shivneri_core::{AgentId, AttemptId, LateOutcomes, LogError, Outcome, UnsettledAttempt};
use shivneri_spool::Courier;

/// Passes late outcomes to the courier once there is one. The hub acknowledges what the courier
/// commits, and the courier settles what the hub reports: one of them has to be made first.
#[derive(Debug, Default)]
pub(crate) struct Late {
    courier: OnceLock<Arc<Courier>>,
}

impl Late {
    pub(crate) fn set(&self, courier: Arc<Courier>) {
        // Set once, where the server is put together.
        let _ = self.courier.set(courier);
    }

    fn courier(&self) -> Result<&Arc<Courier>, LogError> {
        self.courier.get().ok_or_else(|| LogError::new("the server is still starting"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LateOutcomes for Late {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        self.courier()?.report(attempt, outcome).await
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        self.courier()?.unsettled(agent).await
    }
}
