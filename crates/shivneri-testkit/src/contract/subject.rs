//! What an author says of a provider, so that the suite can test it.

use std::{sync::Arc, time::Duration};

use shivneri_core::{EmailProvider, Fault};

use crate::Reply;

/// A provider that speaks HTTP, and the answers its API is documented to give.
pub trait Subject: Sync {
    /// A new provider that calls `base_url` instead of its service. Nothing is shared between
    /// two of them. The time an answer may take is the attempt's.
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider>;

    /// A whole, right acceptance: an [`Reply::Answer`] with a status of 2xx.
    fn accepted(&self) -> Reply;

    /// The provider's message id in [`accepted`](Self::accepted).
    fn accepted_id(&self) -> &str;

    /// How the API asks for a pause, of so many seconds where it says so.
    fn throttled(&self, retry_after: Option<u64>) -> Reply {
        let reply = Reply::text(429, "too many requests");
        match retry_after {
            Some(seconds) => reply.with_header("Retry-After", seconds.to_string()),
            None => reply,
        }
    }

    /// The documented answers, and what each means.
    fn table(&self) -> Vec<Case>;

    /// Keys, tokens and passwords that the built provider holds, also as they are sent (base64
    /// of `user:password`).
    fn secrets(&self) -> Vec<String>;

    /// The answer to a probe of a healthy account.
    fn probe_ok(&self) -> Reply;

    /// The answer to a probe with a wrong key.
    fn probe_faulted(&self) -> Reply {
        Reply::text(401, "unauthorized")
    }

    /// Whether an acceptance has an empty body, its id being in a header.
    fn empty_success(&self) -> bool {
        false
    }

    /// Statuses that the API gives a meaning of its own whatever the body says; the claims about
    /// undocumented statuses leave them out, the [`table`](Self::table) tests them.
    fn documented_statuses(&self) -> Vec<u16> {
        Vec::new()
    }
}

/// One documented answer.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is, for the message of a failed claim.
    pub name: &'static str,
    /// What the service does.
    pub reply: Reply,
    /// What the provider must make of it.
    pub expect: Expect,
}

impl Case {
    /// A case of the table.
    pub fn new(name: &'static str, reply: Reply, expect: Expect) -> Self {
        Self { name, reply, expect }
    }
}

/// What a send must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A receipt with the provider's id.
    Accepted,
    /// Rejected for the message's content.
    RejectedMessage,
    /// Rejected without a documented reason.
    RejectedUnexplained,
    /// Rejected for exactly these recipients, some of [`RECIPIENTS`](super::RECIPIENTS).
    RejectedRecipients(Vec<&'static str>),
    /// This provider can't carry it.
    Unsupported,
    /// The account can't send.
    AccountFault(Fault),
    /// A pause is asked for, of exactly so long.
    Throttled(Option<Duration>),
    /// Certainly not sent.
    Unavailable,
    /// A complete answer that settles nothing.
    Weak,
    /// All handed over, no complete answer.
    Strong,
}
