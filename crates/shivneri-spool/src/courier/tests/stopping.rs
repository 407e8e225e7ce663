use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use shivneri_core::{Attempt, AttemptLog, DeliveryId, LogError, Outcome, Transition};
use shivneri_testkit::{ScriptedProvider, Step};

use super::{Post, slow, to_b};
use crate::{
    Clock, CourierPolicy, CourierState, Drained, Memory, Status, contract::fixture::seconds,
};

#[tokio::test(start_paused = true)]
async fn draining_awaits_what_is_under_way_and_leases_no_more() {
    let mut post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 1);
    provider.script(slow(10));
    let first = post.accept(&to_b()).await;
    let second = post.accept(&to_b()).await;
    provider.called(1).await;
    let spool = Arc::clone(&post.spool);
    let courier = Arc::clone(&post.courier);
    drop(post.stop.take());
    assert_eq!(post.running.await.unwrap(), Drained { left: 0 });
    assert_eq!(courier.state(), CourierState::Ended);
    let status = async |id| spool.get(id).await.unwrap().unwrap().status();
    assert_eq!((status(first).await, status(second).await), (Status::Accepted, Status::Queued));
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_drain_is_counted_and_its_attempt_stays_open() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    provider.script([Step::Delay(seconds(50)), Step::Delay(seconds(50))]);
    post.accept(&to_b()).await;
    post.accept(&to_b()).await;
    provider.called(2).await;
    let spool = Arc::clone(&post.spool);
    assert_eq!(post.stop().await, Drained { left: 2 });
    assert_eq!(spool.stats().await.unwrap().open_attempts, 2);
    assert_eq!(provider.in_flight(), 0, "nothing goes on in the background");
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_can_not_commit_ends_all_sending() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    post.accept(&to_b()).await;
    provider.called(1).await;
    post.spool.close().await;
    post.registry.add(Arc::new(ScriptedProvider::new("beta")), Default::default()).unwrap();
    while !matches!(post.courier.state(), CourierState::Stopped { .. }) {
        tokio::time::sleep(seconds(1)).await;
    }
    let courier = Arc::clone(&post.courier);
    post.stop().await;
    assert!(matches!(courier.state(), CourierState::Stopped { .. }), "and it says so to the end");
}

/// A log whose first begin fails although the spool below works.
#[derive(Debug)]
struct FailsOnce {
    below: Arc<Memory>,
    failed: AtomicBool,
}

#[async_trait]
impl AttemptLog for FailsOnce {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        if !self.failed.swap(true, Ordering::Relaxed) {
            return Err(LogError::new("just once"));
        }
        self.below.begin(attempt).await
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.below.end(attempt, outcome, transition).await
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.below.settle(delivery, transition).await
    }

    async fn clear_up(
        &self,
        attempt: shivneri_core::AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.below.clear_up(attempt, outcome, transition).await
    }
}

#[tokio::test(start_paused = true)]
async fn one_attempt_that_was_not_recorded_is_not_made_and_the_mail_goes_later() {
    let (start, base) = (tokio::time::Instant::now(), std::time::SystemTime::now());
    let clock = Clock::new(move || base + start.elapsed());
    let options = crate::Options { clock: clock.clone(), ..Default::default() };
    let spool = Memory::with(&options);
    let log = FailsOnce { below: spool.clone(), failed: AtomicBool::new(false) };
    let policy = CourierPolicy { clock: clock.clone(), ..CourierPolicy::default() };
    let post = Post::with(spool, Arc::new(log), clock, policy);
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    assert_eq!((record.attempts.len(), provider.call_count()), (1, 1));
    assert_eq!(post.courier.state(), CourierState::Running);
}

#[tokio::test(start_paused = true)]
async fn mail_that_is_cancelled_while_it_is_leased_is_not_sent() {
    let post = Post::new();
    let id = post.accept(&to_b()).await;
    post.spool.cancel(id, post.now()).await.unwrap();
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    let other = post.accept(&to_b()).await;
    post.until(other, Status::Accepted).await;
    assert_eq!(post.record(id).await.status(), Status::Cancelled);
    assert_eq!(provider.accepted(), [other]);
}

#[tokio::test(start_paused = true)]
async fn a_courier_that_has_stopped_rests() {
    let (start, base) = (tokio::time::Instant::now(), std::time::SystemTime::now());
    let looks = Arc::new(AtomicUsize::new(0));
    let looked = Arc::clone(&looks);
    let clock = Clock::new(move || {
        looked.fetch_add(1, Ordering::Relaxed);
        base + start.elapsed()
    });
    let spool = Memory::with(&crate::Options { clock: clock.clone(), ..Default::default() });
    let policy = CourierPolicy { clock: clock.clone(), ..CourierPolicy::default() };
    let post = Post::with(spool.clone(), spool, clock, policy);
    post.accept(&to_b()).await;
    post.spool.close().await;
    post.add(ScriptedProvider::new("alpha"), 8);
    while !matches!(post.courier.state(), CourierState::Stopped { .. }) {
        tokio::time::sleep(seconds(1)).await;
    }
    let before = looks.load(Ordering::Relaxed);
    tokio::time::sleep(seconds(60)).await;
    let looks = looks.load(Ordering::Relaxed) - before;
    assert!(looks < 100, "{looks} looks at the clock in a minute");
}
