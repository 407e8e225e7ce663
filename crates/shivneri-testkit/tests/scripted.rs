//! The scripted provider plays its script and remembers.

use std::{sync::Arc, time::Duration};

use shivneri_core::{
    Attempt, Capabilities, Doubt, Email, EmailProvider, Failure, Lookup, Receipt, SendError,
};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use tokio::time::{Instant, timeout};

async fn send(provider: &ScriptedProvider, email: &Email) -> Result<Receipt, SendError> {
    provider.send(email, &Attempt::single(email, provider.id().clone())).await
}

fn failure(sent: Result<Receipt, SendError>) -> Option<Failure> {
    sent.err().map(|error| error.failure().clone())
}

#[tokio::test]
async fn steps_are_played_in_order_and_then_all_is_accepted() {
    let provider = ScriptedProvider::new("a")
        .then(Step::fail(Failure::Unavailable))
        .then(Step::Accept)
        .then(Step::AcceptAs(Receipt::new("mine")));
    let emails: Vec<Email> = (1..=4).map(mail).collect();
    assert_eq!(failure(send(&provider, &emails[0]).await), Some(Failure::Unavailable));
    for (email, id) in emails[1..].iter().zip(["a-1", "mine", "a-3"]) {
        assert_eq!(send(&provider, email).await.unwrap(), Receipt::new(id));
    }
    let accepted: Vec<_> = emails[1..].iter().map(Email::id).collect();
    assert_eq!((provider.accepted(), provider.call_count()), (accepted, 4));
    let calls = provider.calls();
    assert_eq!((calls[0].message, calls[0].attempt.number), (emails[0].id(), 1));
    assert_eq!(calls[3].recipients[0].as_str(), "recipient4@example.org");
}

#[tokio::test]
async fn it_can_go_on_failing_once_the_script_is_over() {
    let provider = ScriptedProvider::new("a").then(Step::Accept);
    provider.otherwise(Step::fail(Failure::Unsupported));
    assert!(send(&provider, &mail(1)).await.is_ok());
    for _ in 0..2 {
        assert_eq!(failure(send(&provider, &mail(2)).await), Some(Failure::Unsupported));
    }
}

#[tokio::test]
async fn an_acceptance_whose_answer_is_lost_went_out_all_the_same() {
    let strong = Failure::InDoubt(Doubt::Strong);
    let lost = SendError::new(strong.clone(), "the answer was lost");
    let provider = ScriptedProvider::new("a").then(Step::AcceptThenFail(lost));
    let email = mail(1);
    assert_eq!(failure(send(&provider, &email).await), Some(strong));
    assert!(send(&provider, &email).await.is_ok());
    assert_eq!(provider.accepted(), [email.id(), email.id()]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_on_the_paused_clock_and_goes_on_with_the_next_step() {
    let second = Duration::from_secs(1);
    let provider = ScriptedProvider::new("a")
        .then(Step::Delay(second))
        .then(Step::Delay(second))
        .then(Step::fail(Failure::Unavailable));
    let begun = Instant::now();
    assert_eq!(failure(send(&provider, &mail(1)).await), Some(Failure::Unavailable));
    assert_eq!((begun.elapsed(), provider.call_count()), (2 * second, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_past_the_timeout_is_strong_doubt() {
    for step in [Step::Hang, Step::Delay(Duration::from_secs(3600))] {
        let provider = ScriptedProvider::new("a").then(step);
        let begun = Instant::now();
        let sent = send(&provider, &mail(1)).await;
        assert_eq!(failure(sent), Some(Failure::InDoubt(Doubt::Strong)));
        assert_eq!(begun.elapsed(), Attempt::DEFAULT_TIMEOUT);
        assert!(provider.accepted().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_call_outlives_its_timeout_until_released() {
    let provider = Arc::new(ScriptedProvider::new("a").then(Step::Stuck));
    let task = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move { send(&provider, &mail(1)).await }
    });
    tokio::time::advance(Attempt::DEFAULT_TIMEOUT * 2).await;
    assert!(!task.is_finished());
    provider.called(1).await;
    provider.release();
    assert!(task.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_release_frees_all_that_hang_and_none_that_come_later() {
    let provider = Arc::new(ScriptedProvider::new("a"));
    provider.otherwise(Step::Hang);
    provider.script([Step::Hang, Step::Hang]);
    let hanging: Vec<_> = (0..2)
        .map(|n| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { send(&provider, &mail(n)).await })
        })
        .collect();
    provider.called(2).await;
    assert_eq!((provider.in_flight(), provider.peak_in_flight()), (2, 2));
    provider.script([Step::Accept, Step::Accept]);
    provider.release();
    for task in hanging {
        assert!(task.await.unwrap().is_ok());
    }
    let email = mail(3);
    assert!(timeout(Duration::ZERO, send(&provider, &email)).await.is_err());
    assert_eq!((provider.in_flight(), provider.peak_in_flight()), (0, 2));
}

#[tokio::test]
async fn with_idempotency_the_same_key_takes_the_mail_once() {
    let capabilities = Capabilities { idempotent: true, ..Capabilities::default() };
    let provider = ScriptedProvider::new("a").with_capabilities(capabilities.clone());
    assert_eq!(*provider.capabilities(), capabilities);
    let email = mail(1);
    let first = send(&provider, &email).await.unwrap();
    assert_eq!(send(&provider, &email).await.unwrap(), first);
    assert_eq!((provider.accepted().len(), provider.call_count()), (1, 2));
    send(&provider, &mail(2)).await.unwrap();
    assert_eq!(provider.accepted().len(), 2);
}

#[tokio::test]
async fn a_look_up_follows_from_what_was_taken_unless_it_is_scripted() {
    let provider = ScriptedProvider::new("a");
    let email = mail(1);
    let attempt = Attempt::single(&email, provider.id().clone());
    assert_eq!(provider.lookup(&attempt).await.unwrap(), Lookup::CannotTell);
    provider.set_capabilities(Capabilities { lookup: true, ..Capabilities::default() });
    assert_eq!(provider.lookup(&attempt).await.unwrap(), Lookup::NotFound);
    let receipt = provider.send(&email, &attempt).await.unwrap();
    provider.script_lookups([Lookup::NotFound]);
    assert_eq!(provider.lookup(&attempt).await.unwrap(), Lookup::NotFound);
    assert_eq!(provider.lookup(&attempt).await.unwrap(), Lookup::Found(receipt));
    assert_eq!(provider.lookup_count(), 4);
}

#[tokio::test]
async fn probes_are_green_unless_scripted() {
    let provider = ScriptedProvider::new("a");
    provider.script_probes([Err(SendError::new(Failure::Unavailable, "down"))]);
    assert!(provider.probe().await.is_err());
    assert!(provider.probe().await.is_ok());
    assert_eq!((provider.probe_count(), provider.call_count()), (2, 0));
}
