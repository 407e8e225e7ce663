//! A sandbox: takes every email into a mailbox in this process and sends none.
//!
//! For trying things out and for rehearsing faults. Everything is carried, recipients apart from
//! the headers included. An answer takes `latency`; `fault` says how sends go wrong, and both can
//! be changed while mail flows, through the [`Mailbox`].

mod fault;
mod mailbox;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub use fault::{Fault, FaultError};
pub use mailbox::{Counts, Mailbox, Taken};
use serde::{Deserialize, Deserializer, de};
use shivneri_core::{
    Attempt, Capabilities, Doubt, Email, EmailProvider, Failure, ProviderId, Receipt, Scope,
    SendError,
};

use crate::{BuildError, catalog::Kind, settings};

/// A sandbox's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long each answer takes; default 0.
    #[serde(default, deserialize_with = "settings::duration")]
    pub latency: Duration,
    /// How sends go wrong; default: not at all.
    #[serde(default, deserialize_with = "fault_text")]
    pub fault: Fault,
    /// The longest that an answer may take; default: as long as the attempt allows.
    #[serde(default, deserialize_with = "settings::timeout")]
    pub timeout: Option<Duration>,
    /// Taken for likeness with other kinds: a sandbox is a test either way.
    #[serde(default, deserialize_with = "settings::switch")]
    pub test_mode: bool,
}

fn fault_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fault, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

/// A provider that keeps what it takes.
#[derive(Debug)]
pub struct Sandbox {
    id: ProviderId,
    config: Config,
    mailbox: Mailbox,
    capabilities: Arc<Capabilities>,
}

impl Sandbox {
    /// An empty one.
    pub fn new(id: ProviderId, config: Config) -> Self {
        let mailbox = Mailbox::new(config.latency, config.fault);
        let capabilities = Arc::new(Capabilities {
            max_bytes: u64::MAX,
            envelope: true,
            smtputf8: true,
            ..Capabilities::default()
        });
        Self { id, config, mailbox, capabilities }
    }

    /// The handle to what it took, and to its faults.
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    /// What an attempt comes to, and whether the email is kept.
    fn outcome(fault: Fault, attempt: &Attempt) -> (bool, Result<Receipt, SendError>) {
        let fail = |failure, detail: &str| Err(SendError::new(failure, detail));
        let strong = Failure::InDoubt(Doubt::Strong);
        match fault {
            Fault::None => (true, Ok(Receipt::new(receipt_id(attempt)))),
            Fault::InDoubt => (true, fail(strong, "taken, and the answer held back")),
            Fault::Lost => (false, fail(strong, "lost, and no answer given")),
            Fault::Reject => {
                (false, fail(Failure::Rejected(Scope::Message), "rejected as the fault says"))
            }
            Fault::Unexplained => {
                (false, fail(Failure::Rejected(Scope::Unexplained), "rejected without a reason"))
            }
            Fault::Unsupported => {
                (false, fail(Failure::Unsupported, "not to be carried as the fault says"))
            }
            Fault::Weak => {
                (false, fail(Failure::InDoubt(Doubt::Weak), "an answer that settles nothing"))
            }
            Fault::Unavailable => (false, fail(Failure::Unavailable, "down as the fault says")),
            Fault::Throttle(retry_after) => {
                (false, fail(Failure::Throttled { retry_after }, "throttled as the fault says"))
            }
            Fault::Account => {
                let key = Failure::AccountFault(shivneri_core::Fault::Key);
                (false, fail(key, "the key is wrong as the fault says"))
            }
            Fault::Stall => (false, fail(strong, "no answer within the time")),
        }
    }
}

/// A sleep lasts until the timer's next tick, even one of no length.
async fn pause(length: Duration) {
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
}

fn receipt_id(attempt: &Attempt) -> String {
    format!("sandbox-{}", attempt.id)
}

impl Kind for Sandbox {
    const NAME: &'static str = "sandbox";
    type Config = Config;

    fn build(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        Ok(Self::new(id, config))
    }

    fn timeout(&self) -> Option<Duration> {
        self.config.timeout
    }

    fn mailbox(&self) -> Option<Mailbox> {
        Some(Self::mailbox(self))
    }
}

#[async_trait]
impl EmailProvider for Sandbox {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        Self::NAME
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities)
    }

    /// An email is taken at the moment of the answer: a send that is dropped, or whose time runs
    /// out first, leaves nothing in the mailbox.
    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        let limit = self.config.timeout.map_or(attempt.timeout, |own| own.min(attempt.timeout));
        let (latency, fault) = self.mailbox.behaviour();
        let fault = if fault == Fault::Stall || latency >= limit { Fault::Stall } else { fault };
        pause(if fault == Fault::Stall { limit } else { latency }).await;
        let (taken, outcome) = Self::outcome(fault, attempt);
        self.mailbox.record(taken.then(|| (email, attempt, receipt_id(attempt))), &outcome);
        outcome
    }

    async fn probe(&self) -> Result<(), SendError> {
        let fail = |failure, detail: &str| Err(SendError::new(failure, detail));
        let (latency, fault) = self.mailbox.behaviour();
        pause(latency).await;
        match fault {
            Fault::None
            | Fault::InDoubt
            | Fault::Weak
            | Fault::Lost
            | Fault::Reject
            | Fault::Unexplained
            | Fault::Unsupported => Ok(()),
            Fault::Unavailable => fail(Failure::Unavailable, "down as the fault says"),
            Fault::Stall => fail(Failure::Unavailable, "silent as the fault says"),
            Fault::Throttle(retry_after) => {
                fail(Failure::Throttled { retry_after }, "throttled as the fault says")
            }
            Fault::Account => fail(
                Failure::AccountFault(shivneri_core::Fault::Key),
                "the key is wrong as the fault says",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
