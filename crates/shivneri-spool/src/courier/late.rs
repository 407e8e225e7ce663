//! Evidence about attempts that nobody waits for any more.

use async_trait::async_trait;
use shivneri_core::{
    AgentId, AttemptId, LateOutcomes, LogError, Outcome, Transition, UnsettledAttempt,
    decision::{self, Step},
};

use super::Courier;
use crate::Amended;

#[async_trait]
impl LateOutcomes for Courier {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        let Some(found) = self.spool.attempt(attempt).await? else { return Ok(()) };
        let now = self.policy.clock.now();
        let provider = &found.attempt.provider;
        let alternatives = self.dispatcher.registry().len() > 1;
        let step = decision::step(&found.delivery, outcome, provider, now, alternatives, false);
        let transition = match step {
            Step::Done(transition) => transition,
            // The time it waited meanwhile counts: it is due now, or after the pause asked for.
            Step::Failover { pause } => Transition::Retry {
                at: now + pause.unwrap_or_default(),
                reason: format!("{}, as was learned late", outcome.word()),
            },
        };
        match self.spool.amend(attempt, outcome, &transition).await? {
            Amended::Moved | Amended::Closed => {
                let (message, outcome) = (found.attempt.message, outcome.word());
                tracing::info!(%message, %attempt, outcome, "late evidence settled an attempt");
            }
            Amended::Unchanged => {}
        }
        Ok(())
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        Ok(self.spool.unsettled(agent).await?)
    }
}
