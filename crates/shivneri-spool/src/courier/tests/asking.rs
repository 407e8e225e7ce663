//! While a doubt is open, whoever may know is asked.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{
    Attempt, AttemptId, AttemptLog, Capabilities, DeliveryId, Dispatcher, Doubt, Failure, Fault,
    LogError, Lookup, OnDoubt, Outcome, ProviderSettings, Receipt, Registry, SendError, Transition,
    draft::Draft,
    health::{Admin, HealthPolicy},
};
use shivneri_testkit::{ScriptedProvider, Step};

use tokio::time::Instant;

use super::{Post, to_b};
use crate::{
    Clock, CourierPolicy, Memory, Options, Spool, Status,
    contract::fixture::{accept, draft, lease_one, seconds},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn strong() -> SendError {
    SendError::new(Failure::InDoubt(Doubt::Strong), "no answer came")
}

/// One that can be asked whether an attempt went out.
fn with_lookup() -> ScriptedProvider {
    let can = Capabilities { lookup: true, ..Capabilities::default() };
    ScriptedProvider::new("alpha").with_capabilities(can)
}

/// One that takes idempotency keys.
fn with_keys() -> ScriptedProvider {
    ScriptedProvider::new("alpha").with_capabilities(can_take_keys())
}

fn can_take_keys() -> Capabilities {
    Capabilities { idempotent: true, ..Capabilities::default() }
}

fn on_hold() -> Draft {
    Draft { on_doubt: Some(OnDoubt::Hold), ..to_b() }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_after_a_quarter_of_the_wait_settles_what_was_taken() {
    let post = Post::new();
    let alpha = post.add(with_lookup().then(Step::AcceptThenFail(strong())), 8);
    let begun = post.now();
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    let took = post.now().duration_since(begun).unwrap();
    assert!((seconds(15)..seconds(17)).contains(&took), "it took {took:?}");
    assert_eq!((alpha.call_count(), alpha.lookup_count()), (1, 1));
    assert!(!record.summary.possible_duplicate && !record.summary.in_doubt);
    assert_eq!(record.attempts[0].outcome.as_deref(), Some("accepted"));
    assert_eq!(record.attempts[0].provider_message_id.as_deref(), Some("alpha-1"));
    assert_eq!(post.spool.stats().await.unwrap().duplicates_bound(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_never_found_is_looked_for_three_times_and_then_sent_again() {
    let post = Post::new();
    let alpha = post.add(with_lookup().then(Step::Fail(strong())), 8);
    let begun = post.now();
    let id = post.accept(&to_b()).await;
    for (asked, at) in [(0, 14), (1, 16), (1, 29), (2, 31), (2, 59)] {
        tokio::time::sleep_until(post.start + seconds(at)).await;
        assert_eq!(alpha.lookup_count(), asked, "after {at} s");
        let record = post.record(id).await;
        assert_eq!((record.status(), record.summary.in_doubt), (Status::Sending, true));
    }
    let record = post.until(id, Status::Accepted).await;
    let took = post.now().duration_since(begun).unwrap();
    assert!((seconds(60)..seconds(62)).contains(&took), "it took {took:?}");
    assert_eq!((alpha.call_count(), alpha.lookup_count()), (2, 3));
    assert!(record.summary.possible_duplicate, "not found is no proof");
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_repeated_by_its_key_and_sends_nothing_twice() {
    let post = Post::new();
    let alpha = post.add(with_keys(), 8);
    alpha.script([
        Step::AcceptThenFail(strong()),
        Step::Fail(strong()),
        Step::fail(Failure::Unavailable),
        Step::Accept,
    ]);
    let beta = post.add(ScriptedProvider::new("beta"), 8);
    beta.otherwise(Step::fail(Failure::Unavailable));
    post.registry
        .administer(&"beta".parse().unwrap(), shivneri_core::health::Admin::Draining)
        .unwrap();
    let begun = post.now();
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    assert!(post.now().duration_since(begun).unwrap() < seconds(10));
    assert_eq!(alpha.accepted(), [id], "once, whatever was asked");
    let keys: Vec<_> = alpha.calls().iter().map(|call| call.attempt.idempotency_key()).collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(!record.summary.possible_duplicate && !record.summary.in_doubt);
    let stats = post.spool.stats().await.unwrap();
    assert_eq!((stats.duplicates_bound(), stats.possible_duplicates), (0, 0));
    assert_eq!(beta.call_count(), 0, "nobody else is asked meanwhile");
}

#[tokio::test(start_paused = true)]
async fn held_mail_is_settled_by_its_key_and_given_up_without() {
    let hold = on_hold();
    let post = Post::new();
    let alpha = post.add(with_keys().then(Step::AcceptThenFail(strong())), 8);
    let id = post.accept(&hold).await;
    post.until(id, Status::Accepted).await;
    assert_eq!(alpha.accepted(), [id]);

    let post = Post::new();
    let alpha = post.add(with_lookup().then(Step::Fail(strong())), 8);
    let begun = post.now();
    let id = post.accept(&hold).await;
    post.until(id, Status::InDoubt).await;
    let took = post.now().duration_since(begun).unwrap();
    assert!(took >= seconds(60), "it took {took:?}");
    assert_eq!((alpha.call_count(), alpha.lookup_count()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn what_went_out_without_a_key_is_not_repeated_once_the_provider_takes_keys() {
    let post = Post::new();
    let alpha = post.add(with_lookup().then(Step::AcceptThenFail(strong())), 8);
    alpha.script_lookups([Lookup::CannotTell, Lookup::CannotTell, Lookup::CannotTell]);
    let id = post.accept(&on_hold()).await;
    alpha.has_accepted(1).await;
    alpha.set_capabilities(Capabilities { lookup: true, ..can_take_keys() });
    post.until(id, Status::InDoubt).await;
    assert_eq!((alpha.call_count(), alpha.accepted()), (1, vec![id]));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_repeated_only_as_long_as_its_key_lives() {
    let post = Post::new();
    let can = Capabilities { key_life: seconds(25), ..can_take_keys() };
    let alpha = post.add(with_keys().with_capabilities(can), 8);
    alpha.otherwise(Step::Fail(strong()));
    let id = post.accept(&on_hold()).await;
    post.until(id, Status::InDoubt).await;
    let calls = alpha.calls();
    let lasted = calls[calls.len() - 1].at - calls[0].at;
    assert!(calls.len() > 2 && lasted < seconds(25), "{} calls in {lasted:?}", calls.len());
    let took = post.now().duration_since(post.record(id).await.summary.accepted_at).unwrap();
    assert!(took >= seconds(60), "evidence was awaited all the same, but only {took:?}");
}

/// A log in which the record of a second attempt takes two minutes.
#[derive(Debug)]
struct SlowLog(Arc<Memory>);

#[async_trait::async_trait]
impl AttemptLog for SlowLog {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        if attempt.number > 1 {
            tokio::time::sleep(seconds(120)).await;
        }
        self.0.begin(attempt).await
    }

    async fn end(&self, one: &Attempt, end: &Outcome, next: &Transition) -> Result<(), LogError> {
        self.0.end(one, end, next).await
    }

    async fn settle(&self, delivery: DeliveryId, next: &Transition) -> Result<(), LogError> {
        self.0.settle(delivery, next).await
    }

    async fn clear_up(
        &self,
        one: AttemptId,
        end: &Outcome,
        next: &Transition,
    ) -> Result<(), LogError> {
        self.0.clear_up(one, end, next).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_whose_key_is_forgotten_while_it_is_recorded_is_not_made() {
    let (start, base) = (Instant::now(), SystemTime::now());
    let clock = Clock::new(move || base + start.elapsed());
    let spool = Memory::with(&Options { clock: clock.clone(), ..Options::default() });
    let policy = CourierPolicy { clock: clock.clone(), ..CourierPolicy::default() };
    let post = Post::with(spool.clone(), Arc::new(SlowLog(spool)), clock, policy);
    let alpha = post.add(with_keys().then(Step::AcceptThenFail(strong())), 8);
    let id = post.accept(&on_hold()).await;
    let record = post.until(id, Status::InDoubt).await;
    assert_eq!(alpha.call_count(), 1);
    assert_eq!(record.attempts[1].outcome.as_deref(), Some("not_started"));
}

#[tokio::test(start_paused = true)]
async fn mail_is_not_repeated_after_a_night_without_a_server() {
    let (start, base) = (Instant::now(), SystemTime::now());
    let clock = Clock::new(move || base + start.elapsed());
    let spool = Memory::with(&Options { clock: clock.clone(), ..Options::default() });
    let registry = Registry::with_seed(HealthPolicy::default(), 7);
    let alpha = Arc::new(with_keys().then(Step::Hang));
    registry.add(alpha.clone(), ProviderSettings::default()).unwrap();
    let expires_at = Some(clock.now() + 3 * DAY);
    let accepting: Arc<dyn Spool> = spool.clone();
    let id = accept(&accepting, &Draft { expires_at, ..on_hold() }, clock.now()).await;
    let delivery = lease_one(&accepting, clock.now()).await;
    let dispatcher = Dispatcher::new(registry).with_clock(clock.clone());
    let killed = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move { drop(dispatcher.dispatch(&delivery, &*spool).await) }
    });
    alpha.called(1).await;
    killed.abort();
    tokio::time::advance(seconds(30 * 3600)).await;

    let policy = CourierPolicy { clock: clock.clone(), ..CourierPolicy::default() };
    let spool = spool.reopen();
    let post = Post::with(spool.clone(), spool, clock, policy);
    let alpha = post.add(with_keys(), 8);
    let record = post.until(id, Status::InDoubt).await;
    assert_eq!((alpha.call_count(), record.attempts.len()), (0, 1), "the key is long forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_key_does_not_hide_what_another_provider_perhaps_has() {
    let post = Post::new();
    let alpha = post.add(ScriptedProvider::new("alpha").then(Step::AcceptThenFail(strong())), 8);
    let id = post.accept(&to_b()).await;
    alpha.has_accepted(1).await;
    let beta = post.add(ScriptedProvider::new("beta"), 8);
    beta.set_capabilities(can_take_keys());
    beta.script([Step::AcceptThenFail(strong())]);
    post.registry
        .administer(&"alpha".parse().unwrap(), shivneri_core::health::Admin::Draining)
        .unwrap();
    let record = post.until(id, Status::Accepted).await;
    assert_eq!((alpha.accepted(), beta.accepted()), (vec![id], vec![id]), "doubled in truth");
    assert!(record.summary.possible_duplicate, "and shown");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_lost_a_recipient_is_not_the_same_any_more() {
    let post = Post::new();
    let alpha = post.add(with_keys(), 8);
    let bad = vec!["b@example.org".parse().unwrap()];
    let recipients = Failure::Rejected(shivneri_core::Scope::Recipients(bad));
    alpha.script([Step::Fail(strong()), Step::fail(recipients), Step::Fail(strong())]);
    let id = post.accept(&draft(&["b@example.org", "c@example.org"])).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    // The first request, its repetition, and none after that had fewer recipients.
    assert_eq!(alpha.call_count(), 2);
    assert_eq!(post.record(id).await.status(), Status::Sending);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_to_be_left_alone_is_asked_nothing_meanwhile() {
    let nothing = (Admin::Enabled, None, None);
    for (why, (admin, pause, fault)) in [
        ("it asked for a pause", (Admin::Enabled, Some(seconds(300)), None)),
        ("it has a fault", (Admin::Enabled, None, Some((Fault::Suspended, "abuse")))),
        ("it is switched off", (Admin::Disabled, None, None)),
    ] {
        let post = Post::new();
        let alpha = post.add(with_lookup().then(Step::AcceptThenFail(strong())), 8);
        let set = |(admin, pause, fault)| {
            post.registry.restore(&"alpha".parse().unwrap(), admin, pause, fault).unwrap();
        };
        let id = post.accept(&to_b()).await;
        alpha.called(1).await;
        set((admin, pause, fault));
        // Somebody must be able to take mail, or nothing would be looked at.
        let beta = post.add(ScriptedProvider::new("beta"), 8);
        tokio::time::sleep_until(post.start + seconds(59)).await;
        assert_eq!((alpha.lookup_count(), beta.call_count()), (0, 0), "{why}");
        let record = post.record(id).await;
        assert_eq!((record.status(), record.summary.in_doubt), (Status::Sending, true), "{why}");
        set(nothing);
        let record = post.until(id, Status::Accepted).await;
        assert_eq!((alpha.call_count(), alpha.lookup_count()), (1, 1), "{why}");
        assert!(!record.summary.possible_duplicate, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_keeps_no_other_mail_waiting() {
    #[derive(Debug)]
    struct Deaf(Arc<ScriptedProvider>);
    #[async_trait::async_trait]
    impl shivneri_core::EmailProvider for Deaf {
        fn id(&self) -> &shivneri_core::ProviderId {
            self.0.id()
        }
        fn kind(&self) -> &str {
            "deaf"
        }
        fn capabilities(&self) -> Arc<Capabilities> {
            self.0.capabilities()
        }
        async fn send(
            &self,
            email: &shivneri_core::Email,
            attempt: &shivneri_core::Attempt,
        ) -> Result<Receipt, SendError> {
            self.0.send(email, attempt).await
        }
        async fn lookup(
            &self,
            _: &shivneri_core::Attempt,
        ) -> Result<shivneri_core::Lookup, SendError> {
            std::future::pending().await
        }
        async fn probe(&self) -> Result<(), SendError> {
            Ok(())
        }
    }
    let post = Post::new();
    let inner = Arc::new(with_lookup().then(Step::Fail(strong())));
    let settings = shivneri_core::ProviderSettings { window: 1, ..Default::default() };
    post.registry.add(Arc::new(Deaf(Arc::clone(&inner))), settings).unwrap();
    let doubtful = post.accept(&to_b()).await;
    tokio::time::sleep(seconds(16)).await;
    // Its one look-up hangs for ten seconds from second 15 on.
    let begun = post.now();
    let id = post.accept(&to_b()).await;
    post.until(id, Status::Accepted).await;
    assert!(post.now().duration_since(begun).unwrap() < seconds(1));
    let record = post.until(doubtful, Status::Accepted).await;
    assert!(record.summary.possible_duplicate);
}
