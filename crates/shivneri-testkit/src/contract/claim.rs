//! One claim, put to one subject.

use std::{sync::Arc, time::Duration};

use shivneri_core::{
    Attempt, Doubt, Email, EmailAddress, EmailProvider, Failure, Receipt, Scope, SendError,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Expect, Subject, emails};
use crate::{FaultServer, Reply};

/// What a send comes to.
pub(super) type Sent = Result<Receipt, SendError>;

/// The timeout of attempts that get an answer.
pub(super) const PATIENT: Duration = Duration::from_secs(20);
/// The timeout of attempts that get none.
pub(super) const BRIEF: Duration = Duration::from_millis(400);
/// How long after its timeout a send may return.
const GRACE: Duration = Duration::from_secs(2);

pub(super) struct Claim<'a, S: ?Sized = dyn Subject + 'a> {
    name: &'static str,
    pub(super) subject: &'a S,
}

impl<'a, S: ?Sized> Claim<'a, S> {
    pub(super) fn new(name: &'static str, subject: &'a S) -> Self {
        Self { name, subject }
    }

    pub(super) fn fail(&self, case: &str, why: &str) -> ! {
        panic!("the claim {} does not hold for {case}: {why}", self.name)
    }

    pub(super) fn check(&self, case: &str, holds: bool, why: &str) {
        if !holds {
            self.fail(case, why);
        }
    }

    /// Sends once; a send that outlives its timeout breaks any claim.
    pub(super) async fn call(
        &self,
        case: &str,
        provider: &dyn EmailProvider,
        email: &Email,
        limit: Duration,
    ) -> Sent {
        let attempt = Attempt { timeout: limit, ..Attempt::single(email, provider.id().clone()) };
        match timeout(limit + GRACE, provider.send(email, &attempt)).await {
            Ok(sent) => sent,
            Err(_) => {
                let why = format!("the send takes over {GRACE:?} more than its {limit:?}");
                Claim::new("a_send_ends_with_its_timeout", self.subject).fail(case, &why)
            }
        }
    }

    pub(super) fn compare(&self, case: &str, sent: &Sent, expected: &Expect) {
        if !meets(sent, expected) {
            self.fail(case, &format!("expected {expected:?}, it came to {}", describe(sent)));
        }
    }
}

impl Claim<'_> {
    /// A server with that script, and a new provider that calls it.
    pub(super) async fn set_up(
        &self,
        script: impl IntoIterator<Item = Reply>,
    ) -> (FaultServer, Arc<dyn EmailProvider>) {
        let server = FaultServer::start().await;
        server.script(script);
        let provider = self.subject.build(&server.url());
        (server, provider)
    }

    /// Sends the ordinary email once to a server that replies so.
    pub(super) async fn send(&self, case: &str, reply: Reply) -> Sent {
        let (_server, provider) = self.set_up([reply]).await;
        self.call(case, &*provider, &emails::ordinary(), PATIENT).await
    }

    /// Sends the ordinary email once, and holds the outcome against what is expected.
    pub(super) async fn expect(&self, case: &str, reply: Reply, expected: &Expect) {
        let sent = self.send(case, reply).await;
        self.compare(case, &sent, expected);
    }
}

fn meets(sent: &Sent, expected: &Expect) -> bool {
    let failure = sent.as_ref().map_err(SendError::failure);
    match (expected, failure) {
        (Expect::Accepted, outcome) => outcome.is_ok(),
        (_, Ok(_)) => false,
        (Expect::RejectedMessage, Err(failure)) => *failure == Failure::Rejected(Scope::Message),
        (Expect::RejectedUnexplained, Err(failure)) => {
            *failure == Failure::Rejected(Scope::Unexplained)
        }
        (Expect::RejectedRecipients(expected), Err(failure)) => names_exactly(failure, expected),
        (Expect::Unsupported, Err(failure)) => *failure == Failure::Unsupported,
        (Expect::AccountFault(fault), Err(failure)) => *failure == Failure::AccountFault(*fault),
        (Expect::Throttled(retry_after), Err(failure)) => {
            *failure == Failure::Throttled { retry_after: *retry_after }
        }
        (Expect::Unavailable, Err(failure)) => *failure == Failure::Unavailable,
        (Expect::Weak, Err(failure)) => *failure == Failure::InDoubt(Doubt::Weak),
        (Expect::Strong, Err(failure)) => *failure == Failure::InDoubt(Doubt::Strong),
    }
}

fn names_exactly(failure: &Failure, expected: &[&str]) -> bool {
    let Failure::Rejected(Scope::Recipients(named)) = failure else { return false };
    let mut named: Vec<&str> = named.iter().map(EmailAddress::as_str).collect();
    let mut expected = expected.to_vec();
    named.sort_unstable();
    expected.sort_unstable();
    named == expected
}

/// The outcome in words, for the message of a failed claim.
pub(super) fn describe(sent: &Sent) -> String {
    match sent {
        Ok(receipt) => format!("an acceptance with the id {:?}", receipt.provider_message_id),
        Err(error) => format!("{:?} by {:?} ({})", error.failure(), error.cause(), error.detail()),
    }
}

/// Lets what is already under way on loopback arrive: whatever came before these round trips is
/// seen by the runtime no later than they are.
pub(super) async fn settle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    for _ in 0..8 {
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut near = near.expect("loopback connects");
        let (mut far, _) = far.expect("loopback connects");
        near.write_all(b"x").await.expect("loopback carries a byte");
        far.read_u8().await.expect("loopback carries a byte");
    }
}
