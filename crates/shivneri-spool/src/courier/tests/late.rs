use std::sync::Arc;

use shivneri_core::{LateOutcomes, MessageId};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, to_b};
use crate::{
    Change, Evidence, MessageRecord, Sighted, Sighting, Status,
    contract::fixture::{accepted, not_started, rejected, seconds},
};

/// A message whose only attempt has just ended in doubt.
async fn in_doubt(post: &Post) -> (Arc<ScriptedProvider>, MessageId, MessageRecord) {
    let provider = post.add(ScriptedProvider::new("alpha").then(Step::Hang), 8);
    let id = post.accept(&to_b()).await;
    let mut events = post.spool.last_event();
    events.wait_for(|last| *last >= 2).await.unwrap();
    let record = post.record(id).await;
    assert!(record.summary.in_doubt);
    (provider, id, record)
}

#[tokio::test(start_paused = true)]
async fn a_late_acceptance_ends_the_doubt_and_nothing_is_resent() {
    let post = Post::new();
    let (provider, id, record) = in_doubt(&post).await;
    post.courier.report(record.attempts[0].id, &accepted()).await.unwrap();
    post.courier.report(record.attempts[0].id, &accepted()).await.unwrap();
    assert_eq!(post.record(id).await.status(), Status::Accepted);
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_started_is_sent_at_once_and_is_no_duplicate() {
    let post = Post::new();
    let (provider, id, record) = in_doubt(&post).await;
    let reported = post.now();
    post.courier.report(record.attempts[0].id, &not_started()).await.unwrap();
    let record = post.until(id, Status::Accepted).await;
    assert!(post.now() < reported + seconds(2));
    assert!(!record.summary.possible_duplicate);
    assert_eq!(provider.call_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_rejection_is_final() {
    let post = Post::new();
    let (provider, id, record) = in_doubt(&post).await;
    post.courier.report(record.attempts[0].id, &rejected()).await.unwrap();
    let record = post.record(id).await;
    assert_eq!((record.status(), record.summary.in_doubt), (Status::Rejected, false));
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_about_an_unknown_attempt_is_taken_and_changes_nothing() {
    let post = Post::new();
    let unknown = shivneri_core::AttemptId::new();
    post.courier.report(unknown, &accepted()).await.unwrap();
    let agent = "one".parse().unwrap();
    assert!(post.courier.unsettled(&agent).await.unwrap().is_empty());
}

fn event(record: &MessageRecord, provider: &str, id: Option<&str>, sighting: Sighting) -> Sighted {
    Sighted {
        provider: provider.parse().unwrap(),
        provider_message_id: id.map(str::to_owned),
        evidence: Evidence {
            message: record.id(),
            recipient: Some("b@example.org".parse().unwrap()),
            sighting,
            at: std::time::SystemTime::now(),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_settles_a_doubt_and_nothing_is_sent_again() {
    let post = Post::new();
    let (provider, id, record) = in_doubt(&post).await;
    let stranger = event(&record, "beta", Some("x-1"), Sighting::Accepted);
    post.courier.sighted(&stranger).await.unwrap();
    assert_eq!(post.record(id).await.attempts[0].outcome.as_deref(), Some("in_doubt"));
    let seen = event(&record, "alpha", Some("a-1"), Sighting::Delivered);
    for _ in 0..2 {
        assert_eq!(post.courier.sighted(&seen).await.unwrap(), Change::Done);
        let record = post.record(id).await;
        assert_eq!((record.status(), record.summary.in_doubt), (Status::Delivered, false));
        assert_eq!(record.attempts[0].provider_message_id.as_deref(), Some("a-1"));
    }
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(provider.call_count(), 1);
    assert_eq!(post.spool.stats().await.unwrap().duplicates_bound(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_after_a_resend_confirms_the_duplicate_once() {
    let post = Post::new();
    let (_, id, _) = in_doubt(&post).await;
    let record = post.until(id, Status::Accepted).await;
    assert!(record.summary.possible_duplicate);
    let confirmed = async || post.spool.stats().await.unwrap().confirmed_duplicates;
    let known = record.attempts[1].provider_message_id.clone().unwrap();
    let resend = event(&record, "alpha", Some(&known), Sighting::Accepted);
    post.courier.sighted(&resend).await.unwrap();
    assert_eq!(confirmed().await, 0, "the resend's own event is no news");
    for _ in 0..2 {
        let first = event(&record, "alpha", Some("a-first"), Sighting::Accepted);
        assert_eq!(post.courier.sighted(&first).await.unwrap(), Change::Done);
        assert_eq!(confirmed().await, 1);
    }
    assert_eq!(post.record(id).await.status(), Status::Accepted);
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_mail_out_of_its_final_doubt() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha").then(Step::Hang), 8);
    let mut hold = to_b();
    hold.on_doubt = Some(shivneri_core::OnDoubt::Hold);
    let id = post.accept(&hold).await;
    let record = post.until(id, Status::InDoubt).await;
    let bounced = event(&record, "alpha", None, Sighting::Bounced);
    assert_eq!(post.courier.sighted(&bounced).await.unwrap(), Change::Done);
    let record = post.record(id).await;
    assert_eq!((record.status(), record.summary.in_doubt), (Status::Bounced, false));
    assert_eq!(provider.call_count(), 1);
}
