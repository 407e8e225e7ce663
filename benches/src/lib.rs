//! Benchmarks of Shivneri: `cargo bench -p shivneri-benches`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use shivneri_core::{Attempt, Capabilities, Email, EmailProvider, ProviderId, Receipt, SendError};

/// A provider that takes everything at once, and counts.
#[derive(Debug)]
pub struct Instantly {
    id: ProviderId,
    taken: Arc<AtomicU64>,
}

impl Instantly {
    /// Counts in `taken`.
    pub fn new(id: ProviderId, taken: Arc<AtomicU64>) -> Self {
        Self { id, taken }
    }
}

#[async_trait]
impl EmailProvider for Instantly {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        "instantly"
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::new(Capabilities::default())
    }

    async fn send(&self, _: &Email, _: &Attempt) -> Result<Receipt, SendError> {
        let number = self.taken.fetch_add(1, Relaxed);
        Ok(Receipt::new(number.to_string()))
    }

    async fn probe(&self) -> Result<(), SendError> {
        Ok(())
    }
}
