//! What an operator sets for a provider.

use std::time::Duration;

/// A provider's place among the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// Its share within its tier, at least 1.
    pub weight: u32,
    /// Tier 1 is used only when tier 0 can't, and so on.
    pub tier: u8,
    /// Attempts that may be out at once; agents bring windows of their own, which also hold.
    pub window: u32,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Sender domains verified there, in lower case; absent: any.
    pub domains: Option<Vec<String>>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            weight: 1,
            tier: 0,
            window: 64,
            timeout: crate::Attempt::DEFAULT_TIMEOUT,
            domains: None,
        }
    }
}
