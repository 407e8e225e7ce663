//! The suite for providers that speak no HTTP, but hand mail over in their own process: a
//! mailbox, a file, a queue.
//!
//! It makes the claims of the HTTP suite that need no wire, and can make them more sharply,
//! since it looks at what the provider took.

use std::{error::Error, fmt, time::Duration};

use shivneri_core::{Email, EmailProvider, Failure, MessageId, SendError};
use tokio::time::{Instant, timeout};

use super::{
    Expect, RECIPIENTS, SENDER,
    claim::{BRIEF, Claim, PATIENT, describe, settle},
    emails::{self, SUBJECT, TEXT},
};

/// A provider that hands mail over in its own process.
pub trait InProcess: Sync {
    /// A new provider that behaves so, or nothing where it can't be made to. Nothing is shared
    /// between two of them.
    fn build(&self, behaviour: &Behaviour) -> Option<Box<dyn Taker>>;

    /// Keys, tokens and passwords that the built provider holds.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// The outcomes that the provider can be made to give, besides acceptance.
    fn failures(&self) -> Vec<Expect>;
}

/// A provider, and the look at what it took.
pub trait Taker: fmt::Debug + Send + Sync {
    /// The provider.
    fn provider(&self) -> &dyn EmailProvider;

    /// All that it took so far, the oldest first.
    fn taken(&self) -> Vec<(MessageId, Email)>;
}

/// How a provider behaves while a claim is put to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It takes what comes.
    Healthy,
    /// Each send comes to this.
    Fails(Expect),
    /// It never answers.
    Silent,
}

/// Puts every claim to the subject.
///
/// # Panics
///
/// Where a claim does not hold, with its name, the case, and what came of it.
pub async fn run(subject: &dyn InProcess) {
    one_send_takes_one_email(subject).await;
    what_is_taken_is_what_was_sent(subject).await;
    failures_mean_what_they_say(subject).await;
    a_send_ends_with_its_timeout(subject).await;
    a_dropped_send_leaves_nothing_behind(subject).await;
    nothing_private_is_shown(subject).await;
    a_probe_tells_the_truth_and_sends_no_mail(subject).await;
}

type Put<'a> = Claim<'a, dyn InProcess + 'a>;

impl Put<'_> {
    fn build(&self, behaviour: &Behaviour) -> Box<dyn Taker> {
        match self.subject.build(behaviour) {
            Some(taker) => taker,
            None => self.fail("the subject", &format!("it can't be built as {behaviour:?}")),
        }
    }
}

/// An acceptance gives an id of its own and names nobody as refused; each takes one email.
pub async fn one_send_takes_one_email(subject: &dyn InProcess) {
    let claim = Put::new("one_send_takes_one_email", subject);
    let taker = claim.build(&Behaviour::Healthy);
    let mut ids = Vec::new();
    for sends in 1..=3 {
        let case = format!("send {sends}");
        let sent = claim.call(&case, taker.provider(), &emails::ordinary(), PATIENT).await;
        claim.compare(&case, &sent, &Expect::Accepted);
        let Ok(receipt) = sent else { continue };
        let all = receipt.refused.is_empty() && receipt.deferred.is_empty();
        claim.check(&case, all, "it names recipients that were not taken");
        let id = receipt.provider_message_id;
        claim.check(&case, !id.is_empty() && !ids.contains(&id), "its id is empty or not its own");
        ids.push(id);
        let taken = taker.taken().len();
        claim.check(&case, taken == sends, &format!("{taken} were taken"));
    }
}

/// What is taken is the email that was sent: every script, every recipient, a file of many MiB,
/// and the same again for the same email.
pub async fn what_is_taken_is_what_was_sent(subject: &dyn InProcess) {
    let claim = Put::new("what_is_taken_is_what_was_sent", subject);
    let taker = claim.build(&Behaviour::Healthy);
    let file = emails::with_file();
    let mut cases = vec![
        ("an email in many scripts", emails::international()),
        ("an email with a file", file.clone()),
        ("the same email again", file),
    ];
    let large = emails::large(&taker.provider().capabilities());
    cases.extend(large.map(|email| ("an email of MiBs", email)));
    for (case, email) in cases {
        let sent = claim.call(case, taker.provider(), &email, PATIENT).await;
        claim.compare(case, &sent, &Expect::Accepted);
        let same = taker.taken().last().is_some_and(|last| *last == (email.id(), email.clone()));
        claim.check(case, same, "it is not what was taken");
    }
}

/// Each failure is the one it claims to be, and where it says *certainly not sent*, nothing was
/// taken.
pub async fn failures_mean_what_they_say(subject: &dyn InProcess) {
    let claim = Put::new("failures_mean_what_they_say", subject);
    for expected in subject.failures() {
        let case = format!("{expected:?}");
        let taker = claim.build(&Behaviour::Fails(expected.clone()));
        let sent = claim.call(&case, taker.provider(), &emails::ordinary(), BRIEF).await;
        claim.compare(&case, &sent, &expected);
        let doubt = matches!(expected, Expect::Weak | Expect::Strong);
        let taken = taker.taken().len();
        claim.check(&case, doubt || taken == 0, "it was taken");
        claim.check(&case, taken <= 1, "it was taken more than once");
    }
}

/// A send that gets no answer ends when its timeout is over, neither sooner nor later, in doubt.
pub async fn a_send_ends_with_its_timeout(subject: &dyn InProcess) {
    let claim = Put::new("a_send_ends_with_its_timeout", subject);
    let taker = claim.build(&Behaviour::Silent);
    let begun = Instant::now();
    let sent = claim.call("silence", taker.provider(), &emails::ordinary(), BRIEF).await;
    claim.compare("silence", &sent, &Expect::Strong);
    claim.check("silence", begun.elapsed() >= BRIEF * 9 / 10, "it gave up before its timeout");
}

/// After a send was dropped, nothing goes on in the background.
pub async fn a_dropped_send_leaves_nothing_behind(subject: &dyn InProcess) {
    let claim = Put::new("a_dropped_send_leaves_nothing_behind", subject);
    let case = "a send dropped while its answer is awaited";
    let taker = claim.build(&Behaviour::Silent);
    let email = emails::ordinary();
    let sending = claim.call(case, taker.provider(), &email, PATIENT);
    if let Ok(sent) = timeout(Duration::from_millis(50), sending).await {
        claim.fail(case, &format!("it returned without an answer: {}", describe(&sent)));
    }
    settle().await;
    claim.check(case, taker.taken().is_empty(), "its email was taken all the same");
}

/// Neither the provider's `Debug`, also once it holds mail, nor any error shows a secret, an
/// address, a subject or a text.
pub async fn nothing_private_is_shown(subject: &dyn InProcess) {
    let claim = Put::new("nothing_private_is_shown", subject);
    let secrets = subject.secrets();
    let hidden = |case: &str, text: &str| {
        let text = text.to_lowercase();
        // Naming the secret would show it in the test's log.
        let shown = secrets.iter().any(|secret| text.contains(&secret.to_lowercase()));
        claim.check(case, !shown, "it shows a secret");
        for private in RECIPIENTS.into_iter().chain([SENDER, SUBJECT, TEXT]) {
            let shown = text.contains(&private.to_lowercase());
            claim.check(case, !shown, &format!("it holds {private}"));
        }
    };
    let taker = claim.build(&Behaviour::Healthy);
    let _ = claim.call("a send", taker.provider(), &emails::ordinary(), PATIENT).await;
    hidden("Debug of the provider", &format!("{:?}", taker.provider()));
    for expected in subject.failures() {
        let case = format!("the error of {expected:?}");
        let taker = claim.build(&Behaviour::Fails(expected));
        let sent = claim.call(&case, taker.provider(), &emails::ordinary(), BRIEF).await;
        let Err(error) = sent else { continue };
        hidden(&case, &format!("{error:?} {error} {}", error.detail()));
        let mut below = error.source();
        while let Some(source) = below {
            hidden(&case, &format!("{source} {source:?}"));
            below = source.source();
        }
    }
}

/// A probe is green for the healthy, and says of the broken what a send would; it takes no mail.
pub async fn a_probe_tells_the_truth_and_sends_no_mail(subject: &dyn InProcess) {
    let claim = Put::new("a_probe_tells_the_truth_and_sends_no_mail", subject);
    let healthy = probe(&claim, &Behaviour::Healthy).await;
    claim.check("the healthy", healthy.is_ok(), &format!("it came to {healthy:?}"));
    let silent = probe(&claim, &Behaviour::Silent).await;
    claim.check("the silent", silent.is_err(), "it is green");
    for expected in subject.failures() {
        let case = format!("{expected:?}");
        let probed = probe(&claim, &Behaviour::Fails(expected.clone())).await;
        let failure = probed.as_ref().map_err(SendError::failure);
        let honest = match &expected {
            Expect::AccountFault(fault) => failure == Err(&Failure::AccountFault(*fault)),
            Expect::Throttled(pause) => failure == Err(&Failure::Throttled { retry_after: *pause }),
            Expect::Unavailable => failure == Err(&Failure::Unavailable),
            // What a send of mail comes to for the mail's sake, a probe need not show.
            Expect::Accepted
            | Expect::RejectedMessage
            | Expect::RejectedUnexplained
            | Expect::RejectedRecipients(_)
            | Expect::Unsupported
            | Expect::Weak
            | Expect::Strong => true,
        };
        claim.check(&case, honest, &format!("it came to {probed:?}"));
    }
}

async fn probe(claim: &Put<'_>, behaviour: &Behaviour) -> Result<(), SendError> {
    let taker = claim.build(behaviour);
    let case = format!("a probe while it is {behaviour:?}");
    let Ok(probed) = timeout(PATIENT, taker.provider().probe()).await else {
        claim.fail(&case, &format!("it did not end within {PATIENT:?}"));
    };
    claim.check(&case, taker.taken().is_empty(), "it sent mail");
    probed
}
