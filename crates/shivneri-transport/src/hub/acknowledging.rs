//! A log that tells agents when their outcomes are committed.

use std::sync::Arc;

use async_trait::async_trait;
use shivneri_core::{Attempt, AttemptId, AttemptLog, DeliveryId, LogError, Outcome, Transition};

use super::Inner;

/// Wraps an [`AttemptLog`]: the agent that reported an outcome gets its acknowledgement once the
/// log has committed it, and no sooner.
#[derive(Debug)]
pub(super) struct Acknowledging {
    pub(super) log: Arc<dyn AttemptLog>,
    pub(super) hub: Arc<Inner>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl AttemptLog for Acknowledging {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.log.begin(attempt).await
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        let result = self.log.end(attempt, outcome, transition).await;
        let Some(commit) = self.hub.settling.finish(attempt.id) else { return result };
        if let (Ok(()), Some(reporter)) = (&result, commit.reporter) {
            reporter.acknowledge(attempt.id, outcome);
        }
        // Where the commit failed, the agent is not answered and reports again.
        if let Some(late) = commit.late {
            self.hub.settle_late(attempt.id, late).await;
        }
        result
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.log.settle(delivery, transition).await
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.log.clear_up(attempt, outcome, transition).await
    }
}
