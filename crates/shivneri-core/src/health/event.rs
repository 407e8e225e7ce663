//! What happens to a provider, and what its machine asks for in return.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admin, Status};
use crate::{AgentId, AgentSession, Cause, Failure, Fault, MessageId, Outcome, SendError};

/// Something that bears on a provider's health.
#[derive(Clone, Copy, Debug)]
pub enum HealthEvent<'a> {
    /// Time has passed. May come at any time and any number of times.
    Tick {
        /// How late our own ticker is.
        late: Duration,
        /// The provider's window now.
        window: u32,
    },
    /// An operator's word.
    Admin(Admin),
    /// An agent connected.
    SessionOpened(&'a AgentId, u64),
    /// An agent beat.
    Beat(&'a AgentId, u64),
    /// An agent's connection closed.
    SessionClosed(&'a AgentId, u64),
    /// An agent takes nothing new.
    AgentDraining(&'a AgentId, u64),
    /// An agent takes mail again; clears only its own drain.
    AgentReady(&'a AgentId, u64),
    /// An attempt begins.
    Started {
        /// Its ticket; tickets rise.
        ticket: u64,
        /// Whether it is the one on probation.
        on_probation: bool,
        /// How long it may take.
        timeout: Duration,
    },
    /// An attempt ended.
    Ended {
        /// The ticket it began with.
        ticket: u64,
        /// The agent's session it was offered to.
        session: Option<&'a AgentSession>,
        /// The message it was for.
        message: MessageId,
        /// What it says.
        signal: &'a Signal,
    },
    /// A probe is about to be made.
    ProbeBegun,
    /// A probe ended.
    Probed(Result<(), &'a SendError>),
    /// A look-up failed. Only a pause it asks for and an account's fault are news: what it says of
    /// mail is for mail to learn.
    LookUpFailed(&'a Signal),
    /// The provider's configuration changed: faults are looked at again at once.
    ConfigChanged,
    /// An open circuit is to end no later than this.
    Pull(Instant),
}

/// What an attempt's end says about the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It took the mail.
    Success {
        /// How long the answer took.
        latency: Duration,
        /// The sender's domain, which is thereby proven.
        domain: String,
    },
    /// It failed.
    Failure {
        /// In words.
        detail: String,
        /// Whether it answered at all.
        answered: bool,
    },
    /// It says nothing about the provider: the mail's own matter.
    Neutral,
    /// It asked for a pause.
    Throttled(Option<Duration>),
    /// The account has a fault; a `Sender` fault is about this sender domain only.
    Fault(Fault, String, String),
    /// The way to the service failed.
    Link(String),
    /// No outcome: the agent was lost, did not start, or nobody waited for the end.
    Abandoned,
}

impl Signal {
    /// What this outcome of a mail from `domain`, after `latency`, says.
    pub fn of(outcome: &Outcome, domain: &str, latency: Duration) -> Self {
        let error = match outcome {
            Outcome::Accepted(_) => return Self::Success { latency, domain: domain.to_owned() },
            Outcome::Failed(error) => error,
        };
        let detail = error.detail().to_owned();
        match (error.failure(), error.cause()) {
            (Failure::Rejected(_) | Failure::Unsupported, _) => Self::Neutral,
            (Failure::AccountFault(fault), _) => Self::Fault(*fault, detail, domain.to_owned()),
            (Failure::Throttled { retry_after }, _) => Self::Throttled(*retry_after),
            (Failure::Unavailable | Failure::InDoubt(_), Cause::Agent) => Self::Abandoned,
            (Failure::Unavailable, Cause::Link) => Self::Link(detail),
            (Failure::Unavailable | Failure::InDoubt(_), Cause::Provider | Cause::Link) => {
                Self::Failure { detail, answered: error.answer().is_some() }
            }
        }
    }
}

/// What a step asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The status before and after, where it changed.
    pub changed: Option<(Status, Status)>,
    /// Whether [`probe`](crate::EmailProvider::probe) is to be called now.
    pub probe: bool,
}
