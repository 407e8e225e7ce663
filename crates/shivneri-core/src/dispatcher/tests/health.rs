use tokio::time::pause;

use super::*;
use crate::{AgentId, AgentSession, health::Status};

/// A message that failed three times at two providers.
fn poisonous() -> Delivery {
    let past = |number: u32, provider: &str| PastAttempt {
        id: AttemptId::new(),
        number,
        provider: provider.parse().unwrap(),
        request: 1,
        end: PastEnd::Unavailable,
        possible_duplicate: false,
        repetition: false,
        key_until: None,
        ended_at: SystemTime::now() - Duration::from_secs(60),
    };
    Delivery { history: vec![past(1, "a"), past(2, "b"), past(3, "a")], ..delivery() }
}

fn others_succeed_at(dispatcher: &Dispatcher, names: &[&str]) {
    for name in names {
        let entry = dispatcher.registry().entry(&name.parse().unwrap()).unwrap();
        entry.live().last_success = Some(Instant::now());
    }
}

fn status(dispatcher: &Dispatcher, name: &str) -> Status {
    let views = dispatcher.registry().views();
    views.iter().find(|view| view.id.as_str() == name).unwrap().status
}

#[tokio::test]
async fn mail_that_is_rejected_or_unsupported_takes_no_provider_down() {
    for failure in [Failure::Rejected(Scope::Message), Failure::Unsupported] {
        let dispatcher = dispatcher(vec![failing("a", 1000, failure)]);
        for _ in 0..1000 {
            dispatcher.dispatch(&delivery(), &()).await.unwrap();
        }
        assert_eq!(status(&dispatcher, "a"), Status::Active);
    }
}

#[tokio::test]
async fn a_burst_of_unexplained_rejections_is_not_believed() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let turning = provider("a", 230, move |_, _| {
        if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 200 {
            return Ok(Receipt::new("taken"));
        }
        Err(SendError::new(Failure::Rejected(Scope::Unexplained), "HTTP 418"))
    });
    pause();
    let dispatcher = dispatcher(vec![turning]);
    for _ in 0..200 {
        dispatcher.dispatch(&delivery(), &()).await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut last = None;
    for _ in 0..30 {
        let mut again = delivery();
        again.history.push(PastAttempt {
            id: AttemptId::new(),
            number: 1,
            provider: "a".parse().unwrap(),
            request: 1,
            end: PastEnd::Unexplained,
            possible_duplicate: false,
            repetition: false,
            key_until: None,
            ended_at: SystemTime::now(),
        });
        last = Some(dispatcher.dispatch(&again, &()).await.unwrap());
    }
    assert!(matches!(last, Some(Verdict::Deferred(Deferral::Retry { .. }))), "{last:?}");
}

#[tokio::test]
async fn a_dead_provider_gets_nothing_until_it_is_tried_again_and_returns() {
    pause();
    let healthy = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let answer = Arc::clone(&healthy);
    let mut reviving = MockProvider::new();
    reviving.expect_id().return_const("a".parse::<ProviderId>().unwrap());
    reviving.expect_kind().return_const("mock".to_owned());
    reviving.expect_capabilities().returning(|| Arc::new(Capabilities::default()));
    reviving.expect_probe().returning(|| Ok(()));
    reviving.expect_send().returning(move |_, _| {
        if answer.load(std::sync::atomic::Ordering::Relaxed) {
            Ok(Receipt::new("taken"))
        } else {
            Err(SendError::new(Failure::Unavailable, "connection refused"))
        }
    });
    let dispatcher = Arc::new(dispatcher(vec![reviving]));
    for _ in 0..5 {
        dispatcher.dispatch(&delivery(), &()).await.unwrap();
    }
    assert_eq!(status(&dispatcher, "a"), Status::Open);
    let held = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(held, Verdict::Deferred(Deferral::Held { .. })));

    healthy.store(true, std::sync::atomic::Ordering::Relaxed);
    let driver = tokio::spawn({
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.drive().await }
    });
    let mut seen = dispatcher.registry().version();
    while !dispatcher.registry().can_dispatch() {
        seen = dispatcher.registry().changed(seen).await;
    }
    for _ in 0..2 {
        let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
        assert!(matches!(verdict, Verdict::Accepted { .. }));
    }
    assert_eq!(status(&dispatcher, "a"), Status::Recovering);
    driver.abort();
}

#[tokio::test]
async fn a_window_is_never_exceeded() {
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    let settings = ProviderSettings { window: 3, ..ProviderSettings::default() };
    registry.add(Arc::new(accepting("a", 0)), settings).unwrap();
    let dispatcher = Dispatcher::new(registry);
    let run = || Run {
        delivery: delivery(),
        tried: vec![],
        unsupported: vec![],
        paused: vec![],
        again: false,
    };
    let permits: Vec<_> = (0..3).map(|_| dispatcher.choose(&run()).unwrap()).collect();
    let full = dispatcher.choose(&run()).unwrap_err();
    assert!(full.reason.contains("its window is full"), "{}", full.reason);
    drop(permits);
    assert!(dispatcher.choose(&run()).is_ok());
}

#[tokio::test]
async fn second_tries_stay_within_the_receivers_budget() {
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    let settings = ProviderSettings { window: 1000, ..ProviderSettings::default() };
    registry.add(Arc::new(accepting("a", 0)), settings).unwrap();
    let dispatcher = Dispatcher::new(registry);
    let run = |again| Run {
        delivery: delivery(),
        tried: vec![],
        unsupported: vec![],
        paused: vec![],
        again,
    };
    let mut allowed = 0;
    while dispatcher.choose(&run(true)).is_ok() {
        allowed += 1;
    }
    assert_eq!(allowed, 100, "10 a second over 10 s, and no first tries yet");
    assert!(dispatcher.choose(&run(false)).is_ok(), "first tries are not limited");
}

#[tokio::test]
async fn the_live_agent_with_the_most_free_places_is_taken() {
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    registry.add_remote(Arc::new(accepting("a", 0)), ProviderSettings::default()).unwrap();
    let id: ProviderId = "a".parse().unwrap();
    let open = |agent: &str, window| {
        let agent: AgentId = agent.parse().unwrap();
        let session = AgentSession { agent, generation: 1, journal: uuid::Uuid::new_v4() };
        registry.session_opened(&id, session, window).unwrap();
    };
    open("small", 2);
    open("large", 4);
    let dispatcher = Dispatcher::new(Arc::clone(&registry));
    let run = || Run {
        delivery: delivery(),
        tried: vec![],
        unsupported: vec![],
        paused: vec![],
        again: false,
    };
    let mut taken = Vec::new();
    let mut held = Vec::new();
    while let Ok(choice) = dispatcher.choose(&run()) {
        taken.push(choice.permit.session().unwrap().agent.to_string());
        held.push(choice);
    }
    assert_eq!(taken.len(), 6);
    assert_eq!(taken[..2], ["large", "large"]);
    drop(held);
    registry.session_closed(&id, &"large".parse().unwrap(), 1).unwrap();
    let choice = dispatcher.choose(&run()).unwrap();
    assert_eq!(choice.permit.session().unwrap().agent.as_str(), "small");
}

#[tokio::test]
async fn a_poisonous_messages_failures_become_neutral() {
    let dispatcher = dispatcher(vec![
        failing("a", 40, Failure::Unavailable),
        failing("b", 40, Failure::Unavailable),
    ]);
    others_succeed_at(&dispatcher, &["a", "b"]);
    for _ in 0..40 {
        dispatcher.dispatch(&poisonous(), &()).await.unwrap();
    }
    assert_eq!(
        (status(&dispatcher, "a"), status(&dispatcher, "b")),
        (Status::Active, Status::Active)
    );
}

#[test]
fn of_many_at_once_only_one_gets_the_permit_of_a_probation() {
    let policy = HealthPolicy { open: Duration::ZERO, ..HealthPolicy::default() };
    for seed in 0..50 {
        let registry = Registry::with_seed(policy.clone(), seed);
        registry
            .add(Arc::new(failing("a", 0, Failure::Unavailable)), ProviderSettings::default())
            .unwrap();
        let dispatcher = Dispatcher::new(registry);
        let run = || Run {
            delivery: delivery(),
            tried: vec![],
            unsupported: vec![],
            paused: vec![],
            again: false,
        };
        let failed = Outcome::Failed(SendError::new(Failure::Unavailable, "refused"));
        for _ in 0..5 {
            dispatcher.choose(&run()).unwrap().permit.finish(&failed);
        }
        assert_eq!(status(&dispatcher, "a"), Status::Probing);
        let start = std::sync::Barrier::new(8);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                start.wait();
                dispatcher.choose(&run()).ok()
            };
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 1);
    }
}

#[tokio::test]
async fn a_second_message_in_quarantine_waits_outside() {
    let dispatcher = dispatcher(vec![
        failing("a", 1, Failure::Unavailable),
        failing("b", 1, Failure::Unavailable),
    ]);
    others_succeed_at(&dispatcher, &["a", "b"]);
    let held = dispatcher.quarantine.lock().await;
    let (waiting, limit) = (poisonous(), Duration::from_secs(5));
    let verdict = tokio::time::timeout(limit, dispatcher.dispatch(&waiting, &())).await;
    let verdict = verdict.expect("nobody waits inside").unwrap();
    assert!(matches!(verdict, Verdict::Deferred(Deferral::Held { busy: true, .. })), "{verdict:?}");
    drop(held);
    let verdict = dispatcher.dispatch(&poisonous(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Deferred(Deferral::Retry { .. })), "{verdict:?}");
}

#[tokio::test]
async fn a_provider_on_probation_that_is_throttled_offers_no_place_until_the_pause_is_over() {
    pause();
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let registry = dispatcher.registry();
    let run = || Run {
        delivery: delivery(),
        tried: vec![],
        unsupported: vec![],
        paused: vec![],
        again: false,
    };
    let failed = Outcome::Failed(SendError::new(Failure::Unavailable, "refused"));
    for _ in 0..5 {
        dispatcher.choose(&run()).unwrap().permit.finish(&failed);
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    registry.tick(Duration::ZERO, Duration::from_secs(5), Instant::now());
    assert_eq!(registry.free_places(), 1);
    let retry_after = Some(Duration::from_secs(60));
    let throttled =
        Outcome::Failed(SendError::new(Failure::Throttled { retry_after }, "slow down"));
    dispatcher.choose(&run()).unwrap().permit.finish(&throttled);
    assert!(!registry.can_dispatch() && registry.free_places() == 0);
    tokio::time::advance(Duration::from_secs(60)).await;
    registry.tick(Duration::ZERO, Duration::from_secs(60), Instant::now());
    assert!(registry.can_dispatch() && registry.free_places() == 1);
}

#[tokio::test]
async fn what_is_under_way_since_before_a_circuit_opened_takes_no_place_of_its_probation() {
    pause();
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let registry = dispatcher.registry();
    let run = || Run {
        delivery: delivery(),
        tried: vec![],
        unsupported: vec![],
        paused: vec![],
        again: false,
    };
    let _under_way = dispatcher.choose(&run()).unwrap();
    let failed = Outcome::Failed(SendError::new(Failure::Unavailable, "refused"));
    for _ in 0..5 {
        dispatcher.choose(&run()).unwrap().permit.finish(&failed);
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    registry.tick(Duration::ZERO, Duration::from_secs(5), Instant::now());
    assert_eq!((status(&dispatcher, "a"), registry.free_places()), (Status::Probing, 1));
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_while_an_attempt_is_recorded_is_not_called() {
    #[derive(Debug)]
    struct Slow(Arc<Registry>, Log);
    #[async_trait]
    impl AttemptLog for Slow {
        async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
            // Another mail's answer comes while this one's record is committed.
            let entry = self.0.entry(&attempt.provider).unwrap();
            let other = Arc::new(delivery());
            let mut permit = self.0.permit(&entry, &other, false, Instant::now()).unwrap();
            let pause = Some(Duration::from_secs(60));
            let throttled = Failure::Throttled { retry_after: pause };
            permit.finish(&Outcome::Failed(SendError::new(throttled, "too fast")));
            self.1.begin(attempt).await
        }
        async fn end(
            &self,
            attempt: &Attempt,
            outcome: &Outcome,
            transition: &Transition,
        ) -> Result<(), LogError> {
            self.1.end(attempt, outcome, transition).await
        }
        async fn settle(&self, id: DeliveryId, end: &Transition) -> Result<(), LogError> {
            self.1.settle(id, end).await
        }
        async fn clear_up(
            &self,
            attempt: AttemptId,
            outcome: &Outcome,
            transition: &Transition,
        ) -> Result<(), LogError> {
            self.1.clear_up(attempt, outcome, transition).await
        }
    }
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let log = Slow(Arc::clone(dispatcher.registry()), Log::default());
    let verdict = dispatcher.dispatch(&delivery(), &log).await.unwrap();
    assert!(matches!(verdict, Verdict::Deferred(Deferral::Retry { .. })), "{verdict:?}");
    assert_eq!(log.1.lines(), ["begin 1 at a", "end 1 not_started: retry"]);
}
