//! An idempotency key lives for one request: long enough to settle its doubt, and not beyond its
//! answer. `ScriptedProvider` replays what it answered under a key.

use std::{sync::Arc, time::Duration};

use shivneri_core::{Capabilities, Doubt, Failure, Receipt, Scope, SendError, Transition};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, to_b};
use crate::{
    Amended, Change, Duplicates, Evidence, MessageRecord, Sighting, Status,
    contract::fixture::{accepted, draft, seconds},
};

fn strong() -> SendError {
    SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came")
}

/// A provider that knows each key for so long.
fn with_keys(key_life: Duration) -> ScriptedProvider {
    let can = Capabilities { idempotent: true, key_life, ..Capabilities::default() };
    ScriptedProvider::new("alpha").with_capabilities(can)
}

fn keys(provider: &ScriptedProvider) -> Vec<String> {
    provider.calls().iter().map(|call| call.attempt.idempotency_key()).collect()
}

async fn requeue(post: &Post, record: &MessageRecord) {
    let requeued = post.spool.requeue(record.id(), Duplicates::Refuse, post.now()).await;
    assert_eq!(requeued.unwrap(), Change::Done);
}

#[tokio::test(start_paused = true)]
async fn mail_requeued_after_a_bounce_is_sent_anew() {
    let post = Post::new();
    let alpha = post.add(with_keys(seconds(86_400)), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    let bounced =
        Evidence { message: id, recipient: None, sighting: Sighting::Bounced, at: post.now() };
    post.spool.observe(&bounced).await.unwrap();
    requeue(&post, &record).await;
    post.until(id, Status::Accepted).await;
    assert_eq!(alpha.accepted(), [id, id], "the first answer was not given again");
    assert_ne!(keys(&alpha)[0], keys(&alpha)[1]);
}

#[tokio::test(start_paused = true)]
async fn mail_requeued_after_a_rejection_is_sent_anew() {
    let post = Post::new();
    let rejected = Step::fail(Failure::Rejected(Scope::Message));
    let alpha = post.add(with_keys(seconds(86_400)).then(rejected), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Rejected).await;
    requeue(&post, &record).await;
    post.until(id, Status::Accepted).await;
    assert_eq!(alpha.accepted(), [id]);
}

#[tokio::test(start_paused = true)]
async fn mail_whose_recipients_were_all_deferred_is_sent_anew() {
    let post = Post::new();
    let deferred = vec!["b@example.org".parse().unwrap()];
    let none = Step::AcceptAs(Receipt { deferred, ..Receipt::new("alpha-0") });
    let alpha = post.add(with_keys(seconds(86_400)).then(none), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    assert_eq!(alpha.call_count(), 2, "the deferral was not given again");
    assert_eq!(record.attempts[1].provider_message_id.as_deref(), Some("alpha-2"));
}

#[tokio::test(start_paused = true)]
async fn mail_that_some_recipients_have_left_is_sent_anew() {
    let post = Post::new();
    let bad = vec!["b@example.org".parse().unwrap()];
    let some = Step::fail(Failure::Rejected(Scope::Recipients(bad)));
    let alpha = post.add(with_keys(seconds(86_400)).then(some), 8);
    let id = post.accept(&draft(&["b@example.org", "c@example.org"])).await;
    let record = post.until(id, Status::Rejected).await;
    let each: Vec<_> = record.recipients.iter().map(|one| one.status).collect();
    assert_eq!(each, [Status::Rejected, Status::Accepted]);
    assert_eq!((alpha.accepted(), alpha.call_count()), (vec![id], 2));
}

/// Mail that was taken without an answer, by a provider that gives none for the whole wait; then
/// its resend is answered.
async fn sent_again_after_the_wait(post: &Post, key_life: Duration) -> Arc<ScriptedProvider> {
    let alpha = post.add(with_keys(key_life).then(Step::AcceptThenFail(strong())), 8);
    alpha.otherwise(Step::Fail(strong()));
    let id = post.accept(&to_b()).await;
    let resent = |call: &shivneri_testkit::Call| call.attempt.possible_duplicate;
    while !alpha.calls().iter().any(resent) {
        alpha.called(alpha.call_count() + 1).await;
    }
    alpha.otherwise(Step::Accept);
    let record = post.until(id, Status::Accepted).await;
    assert!(record.summary.possible_duplicate && alpha.call_count() > 4);
    alpha
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_key_from_its_doubt_to_its_resends() {
    let post = Post::new();
    let alpha = sent_again_after_the_wait(&post, seconds(86_400)).await;
    assert_eq!(alpha.accepted().len(), 1, "the key kept its resend from being a second mail");
    let keys = keys(&alpha);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn the_repetition_of_a_resend_is_marked_as_that_is_and_counts_for_no_other() {
    let post = Post::new();
    let without = Capabilities::default();
    let alpha = post.add(with_keys(seconds(86_400)).with_capabilities(without), 8);
    let lost = || Step::AcceptThenFail(strong());
    alpha.script([lost(), lost(), Step::Fail(strong()), Step::Fail(strong())]);
    let id = post.accept(&to_b()).await;
    alpha.has_accepted(1).await;
    alpha.set_capabilities(Capabilities { idempotent: true, ..Capabilities::default() });
    let record = post.until(id, Status::Accepted).await;
    let marks: Vec<_> = record.attempts.iter().map(|one| one.possible_duplicate).collect();
    assert_eq!(marks, [false, true, true, true, true]);
    let keys = keys(&alpha);
    assert!(keys[0] != keys[1] && keys[2..].iter().all(|key| *key == keys[1]), "{keys:?}");
    let stats = post.spool.stats().await.unwrap();
    assert_eq!((stats.possible_duplicates, stats.confirmed_duplicates), (1, 0));
    let first = post.spool.amend(record.attempts[0].id, &accepted(), &Transition::Accepted).await;
    assert_eq!(first.unwrap(), Amended::Closed);
    assert_eq!(post.spool.stats().await.unwrap().confirmed_duplicates, 1, "two, for two requests");
}

#[tokio::test(start_paused = true)]
async fn a_request_gets_a_new_key_once_its_first_one_is_forgotten() {
    // In the wait, or while the resend may still wait for its answer.
    for key_life in [25, 100] {
        sent_again_under_a_new_key(seconds(key_life)).await;
    }
}

async fn sent_again_under_a_new_key(key_life: Duration) {
    let post = Post::new();
    let alpha = sent_again_after_the_wait(&post, key_life).await;
    assert_eq!(alpha.accepted().len(), 2);
    let calls = alpha.calls();
    let resent = calls.iter().position(|call| call.attempt.possible_duplicate).unwrap();
    let keys = keys(&alpha);
    let (first, again) = keys.split_at(resent);
    assert!(first.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(again.iter().all(|key| *key == keys[resent] && *key != keys[0]), "{keys:?}");
}
