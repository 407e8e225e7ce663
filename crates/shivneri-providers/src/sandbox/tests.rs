use std::time::Duration;

use shivneri_core::{Attempt, Email, EmailProvider, MessageId, SendError};
use shivneri_testkit::{
    contract::{
        Expect,
        in_process::{self, Behaviour, InProcess, Taker},
    },
    mail::mail,
};
use tokio::time::Instant;

use super::*;

fn sandbox(latency_ms: u64, fault: &str) -> (Sandbox, Mailbox) {
    let latency = Duration::from_millis(latency_ms);
    let config = Config { latency, fault: fault.parse().unwrap(), ..Config::default() };
    let sandbox = Sandbox::new("sandbox-a".parse().unwrap(), config);
    let mailbox = sandbox.mailbox();
    (sandbox, mailbox)
}

async fn send(sandbox: &Sandbox, email: &Email) -> Result<Receipt, SendError> {
    sandbox.send(email, &Attempt::single(email, sandbox.id().clone())).await
}

#[tokio::test(start_paused = true)]
async fn each_fault_answers_as_it_says_and_keeps_what_it_says() {
    let key = Failure::AccountFault(shivneri_core::Fault::Key);
    let strong = Failure::InDoubt(Doubt::Strong);
    let throttled = |retry_after| Failure::Throttled { retry_after };
    for (fault, failure, kept) in [
        ("none", None, 1),
        ("reject", Some(Failure::Rejected(Scope::Message)), 0),
        ("unexplained", Some(Failure::Rejected(Scope::Unexplained)), 0),
        ("unsupported", Some(Failure::Unsupported), 0),
        ("weak", Some(Failure::InDoubt(Doubt::Weak)), 0),
        ("unavailable", Some(Failure::Unavailable), 0),
        ("throttle", Some(throttled(None)), 0),
        ("throttle:5s", Some(throttled(Some(Duration::from_secs(5)))), 0),
        ("in_doubt", Some(strong.clone()), 1),
        ("lost", Some(strong.clone()), 0),
        ("account", Some(key), 0),
        ("stall", Some(strong), 0),
    ] {
        let (sandbox, mailbox) = sandbox(0, fault);
        let sent = send(&sandbox, &mail(1)).await;
        assert_eq!(sent.as_ref().err().map(|error| error.failure().clone()), failure, "{fault}");
        assert_eq!(mailbox.len(), kept, "{fault}");
        assert_eq!(mailbox.counts().sends, 1);
        assert_eq!(mailbox.counts().accepted, u64::from(failure.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_and_latency_change_while_mail_flows() {
    let (sandbox, mailbox) = sandbox(0, "unavailable");
    assert!(send(&sandbox, &mail(1)).await.is_err());
    assert!(sandbox.probe().await.is_err());
    mailbox.set_fault(Fault::None);
    mailbox.set_latency(Duration::from_millis(250));
    let begun = Instant::now();
    assert!(send(&sandbox, &mail(2)).await.is_ok());
    assert_eq!(begun.elapsed(), Duration::from_millis(250));
    assert!(sandbox.probe().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_would_come_too_late_is_doubt_at_the_attempts_end() {
    for fault in ["none", "stall", "reject"] {
        let (sandbox, mailbox) = sandbox(120_000, fault);
        let begun = Instant::now();
        let error = send(&sandbox, &mail(1)).await.unwrap_err();
        assert_eq!(*error.failure(), Failure::InDoubt(Doubt::Strong));
        assert_eq!(begun.elapsed(), Attempt::DEFAULT_TIMEOUT);
        assert!(mailbox.is_empty());
    }
}

#[tokio::test]
async fn the_mailbox_shows_the_newest_first_and_keeps_ten_thousand() {
    let (sandbox, mailbox) = sandbox(0, "none");
    for n in 0..10_005 {
        send(&sandbox, &mail(n)).await.unwrap();
    }
    assert_eq!((mailbox.len(), mailbox.counts().taken), (10_000, 10_005));
    let newest = mailbox.list(2);
    assert_eq!(newest.len(), 2);
    assert_eq!(newest[0].email.subject(), "Mail 10004");
    assert_eq!(newest[1].email.subject(), "Mail 10003");
    assert_eq!(mailbox.list(usize::MAX).last().unwrap().email.subject(), "Mail 5");
}

#[tokio::test]
async fn large_emails_make_room_for_one_another() {
    let (sandbox, mailbox) = sandbox(0, "none");
    let large = shivneri_testkit::mail::mail_of_size(60 << 20);
    for _ in 0..5 {
        send(&sandbox, &large).await.unwrap();
    }
    assert_eq!((mailbox.len(), mailbox.counts().taken), (3, 5));
}

#[tokio::test]
async fn a_receipt_leads_to_the_email_that_was_taken() {
    let (sandbox, mailbox) = sandbox(0, "none");
    let (one, two) = (mail(1), mail(1));
    let first = send(&sandbox, &one).await.unwrap();
    let second = send(&sandbox, &two).await.unwrap();
    assert_ne!(first.provider_message_id, second.provider_message_id);
    let taken = &mailbox.list(1)[0];
    assert_eq!(taken.provider_message_id, second.provider_message_id);
    assert_eq!((taken.message_id, &taken.email), (two.id(), &two));
}

#[test]
fn a_fault_is_written_as_it_is_read() {
    for text in [
        "none",
        "reject",
        "unexplained",
        "unsupported",
        "unavailable",
        "throttle",
        "weak",
        "in_doubt",
        "lost",
        "account",
        "stall",
    ] {
        assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
    }
    let throttle: Fault = "throttle:5s".parse().unwrap();
    assert_eq!(throttle.to_string().parse(), Ok(throttle));
    for text in ["", "throttle:", "throttle:5", "throttle:soon", "None"] {
        assert_eq!(text.parse::<Fault>(), Err(FaultError), "{text}");
    }
}

/// The sandbox as the contract suite sees it.
struct Subject;

impl InProcess for Subject {
    fn build(&self, behaviour: &Behaviour) -> Option<Box<dyn Taker>> {
        let fault = match behaviour {
            Behaviour::Healthy => Fault::None,
            Behaviour::Silent => Fault::Stall,
            Behaviour::Fails(Expect::RejectedMessage) => Fault::Reject,
            Behaviour::Fails(Expect::RejectedUnexplained) => Fault::Unexplained,
            Behaviour::Fails(Expect::Unsupported) => Fault::Unsupported,
            Behaviour::Fails(Expect::Unavailable) => Fault::Unavailable,
            Behaviour::Fails(Expect::AccountFault(_)) => Fault::Account,
            Behaviour::Fails(Expect::Throttled(pause)) => Fault::Throttle(*pause),
            Behaviour::Fails(Expect::Weak) => Fault::Weak,
            Behaviour::Fails(Expect::Strong) => Fault::InDoubt,
            Behaviour::Fails(Expect::Accepted | Expect::RejectedRecipients(_)) => return None,
        };
        let config = Config { fault, ..Config::default() };
        Some(Box::new(Sandbox::new("sandbox-a".parse().unwrap(), config)))
    }

    fn failures(&self) -> Vec<Expect> {
        vec![
            Expect::RejectedMessage,
            Expect::RejectedUnexplained,
            Expect::Unsupported,
            Expect::Unavailable,
            Expect::AccountFault(shivneri_core::Fault::Key),
            Expect::Throttled(None),
            Expect::Throttled(Some(Duration::from_secs(7))),
            Expect::Weak,
            Expect::Strong,
        ]
    }
}

impl Taker for Sandbox {
    fn provider(&self) -> &dyn EmailProvider {
        self
    }

    fn taken(&self) -> Vec<(MessageId, Email)> {
        let oldest_first = self.mailbox.list(usize::MAX).into_iter().rev();
        oldest_first.map(|taken| (taken.message_id, taken.email)).collect()
    }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    in_process::run(&Subject).await;
}
