//! Faults of the account: a wrong key, a suspension, a used-up quota, an unverified sender.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::Fault;

/// The waits between checks: 1, 5, 15 minutes, then every 15.
const CHECKS: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];

/// One fault and when it is looked at again.
#[derive(Clone, Debug)]
pub(super) struct Faulted {
    pub(super) fault: Fault,
    pub(super) detail: String,
    pub(super) next_check: Instant,
    checks: usize,
}

impl Faulted {
    pub(super) fn new(fault: Fault, detail: &str, now: Instant) -> Self {
        Self { fault, detail: detail.to_owned(), next_check: now + CHECKS[0], checks: 0 }
    }

    /// A check was begun: the next is due later.
    pub(super) fn checked(&mut self, now: Instant) {
        self.checks += 1;
        self.next_check = now + CHECKS[self.checks.min(CHECKS.len() - 1)];
    }
}

/// Faults of the whole account, and of single sender domains.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) account: Option<Faulted>,
    senders: BTreeMap<String, Faulted>,
}

/// Sender domains that are remembered as not verified; beyond that the oldest check goes.
const MOST_SENDERS: usize = 1000;

impl Faults {
    pub(super) fn sender(&mut self, domain: &str, detail: &str, now: Instant) {
        let domain = domain.to_lowercase();
        if let Some(known) = self.senders.get_mut(&domain) {
            known.checked(now);
            return;
        }
        if self.senders.len() >= MOST_SENDERS
            && let Some(oldest) = self.senders.iter().min_by_key(|(_, f)| f.next_check)
        {
            let oldest = oldest.0.clone();
            self.senders.remove(&oldest);
        }
        self.senders.insert(domain, Faulted::new(Fault::Sender, detail, now));
    }

    /// A mail from this domain was taken: whatever was wrong is mended.
    pub(super) fn sender_proven(&mut self, domain: &str) {
        if !self.senders.is_empty() {
            self.senders.remove(&domain.to_lowercase());
        }
    }

    /// Why this sender domain gets no mail through here now. Once its check is due, mail itself
    /// must prove it: no probe can.
    pub(super) fn refuses(&self, domain: &str, now: Instant) -> Option<&str> {
        if self.senders.is_empty() {
            return None;
        }
        let known = self.senders.get(&domain.to_lowercase())?;
        (now < known.next_check).then_some(known.detail.as_str())
    }
}
