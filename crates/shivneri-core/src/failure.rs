//! What may go wrong when an email is handed to a provider. Four things that other systems mix
//! up are kept apart here: rejected, never sent, *perhaps sent*, and trouble of the account.

use std::{fmt, sync::Arc, time::Duration};

use crate::EmailAddress;

/// The kinds of failure. The provider decides which, from the status **and** the body.
///
/// Not `#[non_exhaustive]`: who adds one must visit every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Refused for what the message is; certainly not sent.
    Rejected(Scope),
    /// This provider can't carry such a message (size, kind, form), another may; certainly not
    /// sent.
    Unsupported,
    /// The account at this provider can't send now; certainly not sent.
    AccountFault(Fault),
    /// The provider asks for a pause; certainly not sent.
    Throttled {
        /// How long it asked for, where it said so.
        retry_after: Option<Duration>,
    },
    /// The provider could not be reached, or said that it took nothing; certainly not sent.
    Unavailable,
    /// Perhaps sent, perhaps not.
    InDoubt(Doubt),
}

/// What a rejection is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A documented code for bad content: final, and offered to nobody else.
    Message,
    /// Some other 4xx: another provider is asked, and two that agree make it final.
    Unexplained,
    /// The answer names bad recipients and took none: final for those, the rest is offered again.
    Recipients(Vec<EmailAddress>),
}

/// What is wrong with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The key is wrong, revoked or not allowed to send.
    Key,
    /// The account is suspended.
    Suspended,
    /// Sending is paused.
    Paused,
    /// The day's, month's or plan's quota is used up.
    Quota,
    /// The sender's domain or address is not verified there.
    Sender,
}

impl Fault {
    /// The word used in reasons and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Quota => "quota",
            Self::Sender => "sender",
        }
    }

    /// Whether a green [`probe`](crate::EmailProvider::probe) proves the fault gone. A probe
    /// can't see quota, suspension or sender, so after those mail itself must prove it.
    pub const fn is_proven_by_probe(self) -> bool {
        match self {
            Self::Key => true,
            Self::Suspended | Self::Paused | Self::Quota | Self::Sender => false,
        }
    }
}

/// How strong the doubt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doubt {
    /// A complete answer that says nothing certain: an undocumented 5xx, a 2xx without an id.
    Weak,
    /// All was handed over and no complete answer came.
    Strong,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The provider's own answer, or its silence.
    Provider,
    /// The way to the provider: connect, DNS or TLS. With agents it counts against the account
    /// only when all of them have it.
    Link,
    /// The agent or the way to it. Together with [`Failure::Unavailable`] it says that the agent
    /// did not start (`not_started`): no attempt is counted and no health changes.
    Agent,
}

/// What the provider answered, shortened for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status or SMTP code.
    pub status: u16,
    /// The beginning of the answer's text, at most 500 characters, control characters replaced.
    pub text: String,
}

impl Answer {
    /// Keeps the first 500 characters of the text.
    pub fn new(status: u16, text: &str) -> Self {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Self { status, text: text.chars().take(500).map(printable).collect() }
    }
}

/// A failed attempt: the kind, whose fault, what was answered, and why in words.
///
/// The words never hold a secret, a body, or an address.
#[derive(Clone, Debug)]
pub struct SendError {
    failure: Failure,
    cause: Cause,
    answer: Option<Answer>,
    detail: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl SendError {
    /// A failure of the provider's own, with its reason in words: lower case, no full stop.
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, cause: Cause::Provider, answer: None, detail: detail.into(), source: None }
    }

    /// The agent did not start it: certainly not sent, and nothing counts.
    pub fn not_started(detail: impl Into<String>) -> Self {
        Self::new(Failure::Unavailable, detail).caused_by(Cause::Agent)
    }

    /// Names whose fault it is.
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Keeps what was answered.
    pub fn with_answer(mut self, answer: Answer) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Keeps the error below this one.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The kind of failure.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Whose fault it is.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// What the provider answered, if it did.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Why, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the agent vouches that nothing was begun.
    pub fn is_not_started(&self) -> bool {
        self.failure == Failure::Unavailable && self.cause == Cause::Agent
    }

    /// Whether it counts as an attempt that was made (for the retry schedule and quarantine).
    pub fn counts(&self) -> bool {
        match self.failure {
            Failure::Rejected(_) | Failure::InDoubt(_) => true,
            Failure::Unavailable => self.cause != Cause::Agent,
            Failure::Unsupported | Failure::AccountFault(_) | Failure::Throttled { .. } => false,
        }
    }

    /// The outcome's word in the API and in metrics.
    pub fn word(&self) -> &'static str {
        match self.failure {
            Failure::Rejected(_) => "rejected",
            Failure::Unsupported => "unsupported",
            Failure::AccountFault(_) => "account_fault",
            Failure::Throttled { .. } => "throttled",
            Failure::Unavailable if self.cause == Cause::Agent => "not_started",
            Failure::Unavailable => "unavailable",
            Failure::InDoubt(_) => "in_doubt",
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word(), self.detail)
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_started_is_told_apart_from_unavailable() {
        let agent = SendError::not_started("the offer had expired");
        let provider = SendError::new(Failure::Unavailable, "connection refused");
        assert_eq!((agent.word(), provider.word()), ("not_started", "unavailable"));
        assert!(!agent.counts() && provider.counts());
    }

    #[test]
    fn an_answer_is_cut_and_can_not_break_a_log_line() {
        let answer = Answer::new(400, &"a\r\n".repeat(400));
        assert_eq!(answer.text.chars().count(), 500);
        assert!(!answer.text.contains(['\r', '\n']));
    }
}
