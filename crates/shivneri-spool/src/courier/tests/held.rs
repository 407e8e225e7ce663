use std::time::Duration;

use shivneri_core::{Doubt, Failure, OnDoubt, SendError, draft::Draft};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, slow, to_b};
use crate::{Status, contract::fixture::seconds};

fn only(provider: &str) -> Draft {
    Draft { providers: Some(vec![provider.into()]), ..to_b() }
}

#[tokio::test(start_paused = true)]
async fn mail_waits_while_no_provider_is_there_and_goes_at_once_when_one_comes() {
    let post = Post::new();
    let id = post.accept(&to_b()).await;
    tokio::time::sleep(seconds(600)).await;
    let record = post.record(id).await;
    assert_eq!((record.status(), record.attempts.len()), (Status::Queued, 0));
    let came = post.now();
    post.add(ScriptedProvider::new("alpha"), 8);
    post.until(id, Status::Accepted).await;
    assert!(post.now() < came + seconds(1));
}

#[tokio::test(start_paused = true)]
async fn mail_for_an_absent_provider_is_held_with_its_reason_and_burns_no_attempt() {
    let post = Post::new();
    let other = post.add(ScriptedProvider::new("alpha"), 8);
    let held = post.accept(&only("beta")).await;
    tokio::time::sleep(seconds(60)).await;
    let record = post.record(held).await;
    assert_eq!((record.status(), record.attempts.len()), (Status::Queued, 0));
    assert!(record.waiting.is_some_and(|waiting| !waiting.reason.is_empty()));
    let free = post.accept(&to_b()).await;
    post.until(free, Status::Accepted).await;
    let came = post.now();
    post.add(ScriptedProvider::new("beta"), 8);
    post.until(held, Status::Accepted).await;
    assert!(post.now() < came + seconds(1), "news of a provider wakes what is held");
    assert_eq!(other.accepted(), [free]);
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_for_an_absent_provider_is_looked_at_in_measure() {
    let post = Post::new();
    post.add(ScriptedProvider::new("alpha"), 64);
    for _ in 0..20_000 {
        post.accept(&only("beta")).await;
    }
    let before = post.spool.health().commits.operations;
    tokio::time::sleep(seconds(10)).await;
    let leases = post.spool.health().commits.operations - before;
    assert!(leases < 2_000, "{leases} leases in ten seconds");
    let free = post.accept(&Draft { lane: Some("critical".into()), ..to_b() }).await;
    let asked = post.now();
    post.until(free, Status::Accepted).await;
    assert!(post.now() < asked + seconds(2), "others are not held up by it");
}

#[tokio::test(start_paused = true)]
async fn a_doubt_runs_its_course_although_no_provider_is_there() {
    let post = Post::new();
    let provider = ScriptedProvider::new("alpha");
    let provider = post.add(provider.then(Step::Hang), 8);
    let id = post.accept(&Draft { on_doubt: Some(OnDoubt::Hold), ..to_b() }).await;
    provider.called(1).await;
    post.registry.remove(&"alpha".parse().unwrap()).unwrap();
    let record = post.until(id, Status::InDoubt).await;
    assert!(record.summary.in_doubt && !record.summary.possible_duplicate);
    assert_eq!((record.attempts.len(), provider.call_count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_resent_once_its_wait_is_over_and_marked() {
    let post = Post::new();
    let lost = SendError::new(Failure::InDoubt(Doubt::Strong), "the answer was lost");
    let provider = post.add(ScriptedProvider::new("alpha").then(Step::AcceptThenFail(lost)), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    assert!(record.summary.possible_duplicate && !record.summary.in_doubt);
    let calls = provider.calls();
    let waited = calls[1].at.duration_since(calls[0].at);
    assert!(waited >= seconds(60) && waited < seconds(62), "{waited:?}");
}

async fn three_thousand_critical_are_held(post: &Post) {
    for _ in 0..3_000 {
        post.accept(&Draft { lane: Some("critical".into()), ..only("beta") }).await;
    }
    tokio::time::sleep(seconds(10)).await;
}

#[tokio::test(start_paused = true)]
async fn held_mail_of_an_urgent_lane_delays_no_lane_below_it() {
    let post = Post::new();
    post.add(ScriptedProvider::new("alpha"), 64);
    three_thousand_critical_are_held(&post).await;
    for lane in ["transactional", "bulk"] {
        let free = post.accept(&Draft { lane: Some(lane.into()), ..to_b() }).await;
        let asked = post.now();
        post.until(free, Status::Accepted).await;
        assert!(post.now() < asked + Duration::from_millis(400), "{lane}");
    }
}

#[tokio::test(start_paused = true)]
async fn held_mail_delays_no_fresh_mail_of_its_lane() {
    let post = Post::new();
    post.add(ScriptedProvider::new("alpha"), 64);
    three_thousand_critical_are_held(&post).await;
    for _ in 0..5 {
        post.spool.unpark();
        let free = post.accept(&Draft { lane: Some("critical".into()), ..to_b() }).await;
        let asked = post.now();
        post.until(free, Status::Accepted).await;
        assert!(post.now() < asked + Duration::from_millis(400));
        tokio::time::sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_wants_only_a_free_place_is_tried_again_soon_and_in_measure() {
    let post = Post::new();
    post.add(ScriptedProvider::new("alpha"), 8);
    let beta = post.add(ScriptedProvider::new("beta"), 1);
    beta.script(slow(10));
    let first = post.accept(&only("beta")).await;
    beta.called(1).await;
    let second = post.accept(&only("beta")).await;
    let before = post.spool.health().commits.operations;
    post.until(first, Status::Accepted).await;
    let freed = post.now();
    let leases = post.spool.health().commits.operations - before;
    assert!((50..400).contains(&leases), "{leases} in ten seconds");
    post.until(second, Status::Accepted).await;
    assert!(post.now() <= freed + Duration::from_millis(150));
}
