use std::sync::Arc;

use shivneri_core::{LateOutcomes, MessageId};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, to_b};
use crate::{
    MessageRecord, Status,
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
