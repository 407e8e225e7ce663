//! Before mail in doubt is given up, whoever can be asked is asked once more.

use std::sync::Arc;

use shivneri_core::{
    Capabilities, Doubt, Failure, Fault, Lookup, OnDoubt, Receipt, SendError, draft::Draft,
};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, slow, to_b};
use crate::{
    Status,
    contract::fixture::{draft, seconds},
};

/// A provider with one place that takes the next mail, gives no answer, and can tell of it only
/// after so many look-ups.
fn forgetful(post: &Post, times: usize) -> Arc<ScriptedProvider> {
    let lost = SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came");
    let can = Capabilities { lookup: true, ..Capabilities::default() };
    let alpha = ScriptedProvider::new("alpha").with_capabilities(can);
    let alpha = post.add(alpha.then(Step::AcceptThenFail(lost)), 1);
    alpha.script_lookups(std::iter::repeat_n(Lookup::CannotTell, times));
    alpha
}

#[tokio::test(start_paused = true)]
async fn held_mail_is_looked_up_at_the_end_of_its_wait_though_every_place_is_taken() {
    let post = Post::new();
    let alpha = forgetful(&post, 2);
    let id = post.accept(&Draft { on_doubt: Some(OnDoubt::Hold), ..to_b() }).await;
    tokio::time::sleep(seconds(50)).await;
    assert_eq!(alpha.lookup_count(), 2);
    alpha.script(slow(55));
    let other = post.accept(&to_b()).await;
    alpha.called(2).await;
    let mut events = post.spool.last_event();
    while !post.record(id).await.status().is_final() {
        events.changed().await.unwrap();
    }
    assert_eq!((post.record(id).await.status(), alpha.lookup_count()), (Status::Accepted, 3));
    assert_eq!(alpha.in_flight(), 1, "its place was still taken");
    post.until(other, Status::Accepted).await;
    assert_eq!(alpha.accepted(), [id, other]);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_a_look_up_finds_unwilling_is_left_alone() {
    let pause = Failure::Throttled { retry_after: Some(seconds(300)) };
    let fault = Failure::AccountFault(Fault::Suspended);
    for (failure, is_news) in [(pause, true), (fault, true), (Failure::Unavailable, false)] {
        let post = Post::new();
        let alpha = forgetful(&post, 0);
        alpha.fail_lookup(failure.clone());
        let id = post.accept(&to_b()).await;
        tokio::time::sleep(seconds(16)).await;
        let other = post.accept(&to_b()).await;
        tokio::time::sleep(seconds(40)).await;
        let taken = if is_news { vec![id] } else { vec![id, other] };
        let asked = if is_news { 1 } else { 2 };
        assert_eq!((alpha.accepted(), alpha.lookup_count()), (taken, asked), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn mail_in_doubt_is_looked_up_before_it_is_too_old() {
    for on_doubt in [OnDoubt::Hold, OnDoubt::Resend] {
        for (tells, end) in [(true, Status::Accepted), (false, Status::InDoubt)] {
            let post = Post::new();
            let alpha = forgetful(&post, if tells { 2 } else { 3 });
            let end_of_age = post.now() + seconds(40);
            let expires_at = Some(end_of_age);
            let draft = Draft { on_doubt: Some(on_doubt), expires_at, ..to_b() };
            let id = post.accept(&draft).await;
            post.until(id, end).await;
            assert_eq!((alpha.lookup_count(), alpha.call_count()), (3, 1), "{on_doubt:?} {tells}");
            assert!(post.now() < end_of_age + seconds(11));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_for_a_place_after_its_doubt_is_asked_about_no_more() {
    let post = Post::new();
    let alpha = forgetful(&post, 1000);
    // There are places enough, but not where all of this mail has to go.
    post.add(ScriptedProvider::new("beta"), 8);
    let to_alpha = Draft { providers: Some(vec!["alpha".into()]), ..to_b() };
    let id = post.accept(&to_alpha).await;
    tokio::time::sleep(seconds(50)).await;
    alpha.script(slow(55));
    let other = post.accept(&to_alpha).await;
    post.until(other, Status::Accepted).await;
    post.until(id, Status::Accepted).await;
    assert_eq!((alpha.lookup_count(), alpha.accepted()), (3, vec![id, other, id]));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_a_doubt_that_was_inherited() {
    let post = Post::new();
    let alpha = forgetful(&post, 4);
    let can = Capabilities { lookup: true, envelope: true, ..Capabilities::default() };
    alpha.set_capabilities(can);
    let deferred = vec!["c@example.org".parse().unwrap()];
    let some = Receipt { deferred, ..Receipt::new("1") };
    let lost = SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came");
    // The first mail is in doubt; the second leaves one recipient, whose own mail is in doubt too.
    alpha.script([Step::AcceptAs(some), Step::AcceptThenFail(lost)]);
    let id = post.accept(&draft(&["b@example.org", "c@example.org"])).await;
    alpha.called(3).await;
    let asked = alpha.lookup_count();
    alpha.script_lookups([Lookup::Found(Receipt::new("3"))]);
    let record = post.until(id, Status::Accepted).await;
    assert_eq!((asked, alpha.lookup_count(), alpha.call_count()), (3, 5, 3));
    let found = record.attempts.last().unwrap();
    assert_eq!(found.provider_message_id.as_deref(), Some("3"), "its own attempt was asked about");
}
