//! Tells the courier when a delivery has found its first place.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use shivneri_core::{Attempt, AttemptLog, DeliveryId, LogError, Outcome, Transition};

/// Passes everything on, and counts itself as choosing until its first attempt begins: from then
/// on the registry counts the place as taken.
#[derive(Debug)]
pub(super) struct Begun {
    log: Arc<dyn AttemptLog>,
    choosing: Arc<AtomicUsize>,
    counted: AtomicBool,
}

impl Begun {
    pub(super) fn new(log: Arc<dyn AttemptLog>, choosing: Arc<AtomicUsize>) -> Self {
        choosing.fetch_add(1, Relaxed);
        Self { log, choosing, counted: AtomicBool::new(true) }
    }

    fn chosen(&self) {
        if self.counted.swap(false, Relaxed) {
            self.choosing.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.chosen();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl AttemptLog for Begun {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.chosen();
        self.log.begin(attempt).await
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.log.end(attempt, outcome, transition).await
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.log.settle(delivery, transition).await
    }
}
