//! An attempt log that counts.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use async_trait::async_trait;
use shivneri_core::{Attempt, AttemptId, AttemptLog, DeliveryId, LogError, Outcome, Transition};

use super::Metrics;

/// Passes everything on, and counts each end that was committed.
#[derive(Debug)]
pub(super) struct MeteredLog {
    inner: Arc<dyn AttemptLog>,
    metrics: Arc<Metrics>,
}

impl MeteredLog {
    pub(super) fn new(inner: Arc<dyn AttemptLog>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

#[async_trait]
impl AttemptLog for MeteredLog {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.inner.begin(attempt).await
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.inner.end(attempt, outcome, transition).await?;
        self.metrics.ended(attempt, outcome);
        Ok(())
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.inner.settle(delivery, transition).await
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.inner.clear_up(attempt, outcome, transition).await
    }
}
