use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_rejected_email_is_offered_to_nobody_else() {
    let dispatcher =
        dispatcher(vec![failing("a", 1, Failure::Rejected(Scope::Message)), accepting("b", 0)]);
    let log = Log::default();
    let verdict = dispatcher.dispatch(&delivery(), &log).await.unwrap();
    assert!(matches!(verdict, Verdict::Rejected { .. }));
    assert_eq!(log.lines(), ["begin 1 at a", "end 1 rejected: rejected"]);
}

#[tokio::test]
async fn what_was_certainly_not_sent_goes_to_the_next_provider_at_once() {
    for failure in [
        Failure::Unavailable,
        Failure::Unsupported,
        Failure::Throttled { retry_after: None },
        Failure::AccountFault(Fault::Key),
        Failure::AccountFault(Fault::Sender),
        Failure::Rejected(Scope::Unexplained),
    ] {
        let dispatcher = dispatcher(vec![failing("a", 1, failure.clone()), accepting("b", 1)]);
        let log = Log::default();
        let verdict = dispatcher.dispatch(&delivery(), &log).await.unwrap();
        assert!(matches!(verdict, Verdict::Accepted { .. }), "{failure:?}");
        let lines = log.lines();
        assert!(lines[1].ends_with(": continue"), "{failure:?}: {lines:?}");
        assert_eq!(lines[2..], ["begin 2 at b", "end 2 accepted: accepted"]);
    }
}

#[tokio::test]
async fn the_attempt_is_committed_before_it_is_offered() {
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let log = Log { fail_begin: true, ..Log::default() };
    assert!(dispatcher.dispatch(&delivery(), &log).await.is_err());
    assert_eq!(dispatcher.registry().views()[0].in_flight, 0, "the place was given back");
}

#[tokio::test]
async fn two_unexplained_rejections_that_agree_are_final() {
    let unexplained = || Failure::Rejected(Scope::Unexplained);
    let dispatcher = dispatcher(vec![
        failing("a", 1, unexplained()),
        failing("b", 1, unexplained()),
        accepting("c", 0),
    ]);
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Rejected { .. }));
}

#[tokio::test]
async fn a_lone_providers_second_unexplained_rejection_is_final() {
    let dispatcher = dispatcher(vec![failing("a", 2, Failure::Rejected(Scope::Unexplained))]);
    let mut delivery = delivery();
    let first = dispatcher.dispatch(&delivery, &()).await.unwrap();
    assert!(matches!(first, Verdict::Deferred(Deferral::Retry { .. })));
    delivery.history.push(PastAttempt {
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
    let second = dispatcher.dispatch(&delivery, &()).await.unwrap();
    assert!(matches!(second, Verdict::Rejected { .. }));
}

#[tokio::test]
async fn rejected_recipients_leave_and_the_rest_is_offered_again() {
    let refused = vec!["c@example.org".parse().unwrap()];
    let picky = provider("a", 2, move |email, _| {
        if email.envelope().recipients().len() > 1 {
            let scope = Scope::Recipients(refused.clone());
            return Err(SendError::new(Failure::Rejected(scope), "unknown recipient"));
        }
        assert!(email.cc().is_empty(), "the refused recipient has left the headers");
        Ok(Receipt::new("taken"))
    });
    let verdict = dispatcher(vec![picky]).dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn mail_whose_every_recipient_is_refused_is_rejected() {
    let all = vec!["b@example.org".parse().unwrap(), "c@example.org".parse().unwrap()];
    let scope = Failure::Rejected(Scope::Recipients(all));
    let dispatcher = dispatcher(vec![failing("a", 1, scope), accepting("b", 0)]);
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Rejected { .. }));
}

#[tokio::test]
async fn when_all_fail_it_is_due_again_by_the_schedule() {
    let dispatcher = dispatcher(vec![
        failing("a", 1, Failure::Unavailable),
        failing("b", 1, Failure::Unavailable),
    ]);
    let before = SystemTime::now();
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
    let wait = at.duration_since(before).unwrap();
    // Two failures count: the ceiling is 20 s.
    assert!((Duration::from_secs(1)..Duration::from_secs(21)).contains(&wait), "{wait:?}");
}

proptest! {
    #[test]
    fn mail_is_tried_again_in_the_first_half_of_its_time_left(
        failures in 1_usize..12,
        seconds in 2_u64..1_000_000,
        draw: u64,
    ) {
        let (now, left) = (SystemTime::now(), Duration::from_secs(seconds));
        let mut delivery = Delivery { deadline: now + left, ..delivery() };
        for _ in 0..failures {
            in_past(&mut delivery, PastEnd::Unavailable);
        }
        let at = decision::retry_at(&delivery, None, now, draw);
        prop_assert!(at <= now + left / 2 && at >= now + Duration::from_secs(1));
        let at = decision::doubt_until(&delivery, Doubt::Weak, now, draw);
        prop_assert!(at <= now + (left / 2).max(delivery.doubt_wait()));
    }
}

#[tokio::test]
async fn a_pause_alone_is_obeyed_to_the_letter() {
    let pause = Some(Duration::from_secs(120));
    let dispatcher = dispatcher(vec![failing("a", 1, Failure::Throttled { retry_after: pause })]);
    let before = SystemTime::now();
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
    let wait = at.duration_since(before).unwrap();
    assert!((120..=121).contains(&wait.as_secs()), "{wait:?}");
    // The gate is shut: it is not even asked.
    let held = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(held, Verdict::Deferred(Deferral::Held { .. })));
}

#[tokio::test]
async fn mail_that_nobody_could_ever_carry_is_rejected_at_once_with_each_reason() {
    let mut narrow = MockProvider::new();
    narrow.expect_id().return_const("a".parse::<ProviderId>().unwrap());
    narrow.expect_kind().return_const("mock".to_owned());
    narrow
        .expect_capabilities()
        .returning(|| Arc::new(Capabilities { max_recipients: 1, ..Capabilities::default() }));
    narrow.expect_send().times(0);
    let dispatcher = dispatcher(vec![narrow, failing("b", 1, Failure::Unsupported)]);
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let Verdict::Rejected { reason } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("a: 2 recipients, 1 at most") && reason.contains("b: "), "{reason}");
}

#[tokio::test]
async fn mail_for_a_provider_not_known_yet_is_held() {
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let route = Some(Arc::from(["ses".parse().unwrap()]));
    let delivery = Delivery { route, ..delivery() };
    let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
    let Verdict::Deferred(Deferral::Held { reason, .. }) = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("ses: not known yet"), "{reason}");
}

#[tokio::test]
async fn a_lower_tier_is_used_only_when_the_upper_can_not() {
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    let tier = |tier| ProviderSettings { tier, ..ProviderSettings::default() };
    registry.add(Arc::new(accepting("z", 10)), tier(0)).unwrap();
    registry.add(Arc::new(accepting("a", 1)), tier(1)).unwrap();
    let dispatcher = Dispatcher::new(registry);
    for _ in 0..10 {
        dispatcher.dispatch(&delivery(), &()).await.unwrap();
    }
    let z = "z".parse().unwrap();
    dispatcher.registry().administer(&z, crate::health::Admin::Disabled).unwrap();
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Accepted { provider, .. } if provider.as_str() == "a"));
}

#[tokio::test]
async fn the_reason_tells_why_others_were_passed_over() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reasons);
    let taking = provider("b", 1, move |_, attempt| {
        seen.lock().unwrap().push(attempt.reason.clone());
        Ok(Receipt::new("taken"))
    });
    let dispatcher =
        dispatcher(vec![failing("a", 1, Failure::Unavailable), taking, accepting("c", 0)]);
    let c = "c".parse().unwrap();
    dispatcher.registry().administer(&c, crate::health::Admin::Disabled).unwrap();
    let without_agents = Arc::new(accepting("d", 0));
    dispatcher.registry().add_remote(without_agents, ProviderSettings::default()).unwrap();
    dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let reason = reasons.lock().unwrap()[0].clone();
    assert_eq!(
        reason,
        "its turn in the circle; a: already tried; c: disabled: switched off by an operator; \
         d: offline: no agent is connected"
    );
}

#[tokio::test]
async fn a_dropped_dispatch_gives_its_place_back() {
    let mut stuck = MockProvider::new();
    stuck.expect_id().return_const("a".parse::<ProviderId>().unwrap());
    stuck.expect_capabilities().returning(|| Arc::new(Capabilities::default()));
    stuck.expect_kind().return_const("mock".to_owned());
    stuck.expect_send().returning(|_, _| panic!("not reached: begin never returns"));
    let dispatcher = dispatcher(vec![stuck]);
    #[derive(Debug)]
    struct Never;
    #[async_trait]
    impl AttemptLog for Never {
        async fn begin(&self, _: &Attempt) -> Result<(), LogError> {
            std::future::pending().await
        }
        async fn end(&self, _: &Attempt, _: &Outcome, _: &Transition) -> Result<(), LogError> {
            Ok(())
        }
        async fn settle(&self, _: DeliveryId, _: &Transition) -> Result<(), LogError> {
            Ok(())
        }
        async fn clear_up(
            &self,
            _: AttemptId,
            _: &Outcome,
            _: &Transition,
        ) -> Result<(), LogError> {
            Ok(())
        }
    }
    let delivery = delivery();
    let running = dispatcher.dispatch(&delivery, &Never);
    let late = tokio::time::timeout(Duration::from_millis(10), running).await;
    assert!(late.is_err());
    assert_eq!(dispatcher.registry().views()[0].in_flight, 0);
}

#[tokio::test]
async fn one_providers_pause_does_not_hold_mail_that_another_could_take_sooner() {
    let pause = Some(Duration::from_secs(3600));
    let throttled = failing("a", 1, Failure::Throttled { retry_after: pause });
    let dispatcher = dispatcher(vec![throttled, accepting("b", 0)]);
    let b: ProviderId = "b".parse().unwrap();
    dispatcher.registry().administer(&b, crate::health::Admin::Draining).unwrap();
    let before = SystemTime::now();
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
    assert!(at.duration_since(before).unwrap() <= Duration::from_secs(11));
}

#[tokio::test]
async fn where_everybody_asks_for_a_pause_the_shortest_is_kept() {
    let asking = |name, seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        failing(name, 1, Failure::Throttled { retry_after })
    };
    let dispatcher = dispatcher(vec![asking("a", 300), asking("b", 120)]);
    let before = SystemTime::now();
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
    assert!((120..=121).contains(&at.duration_since(before).unwrap().as_secs()));
}

#[tokio::test]
async fn where_only_a_free_place_is_missing_nothing_is_backed_off_from() {
    let narrow = ProviderSettings { window: 1, ..ProviderSettings::default() };
    for (tried_is_full, soon) in [(false, true), (true, false)] {
        let registry = Registry::with_seed(HealthPolicy::default(), 1);
        let settings = |full| if full { narrow.clone() } else { ProviderSettings::default() };
        let failing = failing("a", 1, Failure::Unavailable);
        registry.add(Arc::new(failing), settings(tried_is_full)).unwrap();
        registry.add(Arc::new(accepting("b", 0)), settings(!tried_is_full)).unwrap();
        let dispatcher = Dispatcher::with_scheduler(registry, || Box::new(RoundRobin::default()));
        let b: ProviderId = "b".parse().unwrap();
        let registry = dispatcher.registry();
        let entry = registry.entry(&b).unwrap();
        let _taken = if tried_is_full {
            registry.administer(&b, crate::health::Admin::Draining).unwrap();
            None
        } else {
            registry.permit(&entry, &delivery(), false, Instant::now())
        };
        let before = SystemTime::now();
        let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
        let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
        let wait = at.duration_since(before).unwrap();
        assert_eq!(wait < Duration::from_millis(500), soon, "it waits {wait:?}");
    }
}

#[tokio::test]
async fn what_its_agent_never_began_is_not_backed_off_from_unless_that_goes_on() {
    let gives_back = provider("a", 2, |_, _| Err(SendError::not_started("the agent went away")));
    let dispatcher = dispatcher(vec![gives_back]);
    let mut delivery = delivery();
    for (earlier, longest) in [(0, 50), (2, 200)] {
        while delivery.history.len() < earlier {
            in_past(&mut delivery, PastEnd::Uncounted);
        }
        let before = SystemTime::now();
        let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
        let Verdict::Deferred(Deferral::Retry { at, .. }) = verdict else { panic!("{verdict:?}") };
        let wait = at.duration_since(before).unwrap();
        let longest = Duration::from_millis(longest);
        assert!((longest..longest + Duration::from_millis(100)).contains(&wait), "{wait:?}");
    }
}

fn in_past(delivery: &mut Delivery, end: PastEnd) {
    delivery.history.push(PastAttempt {
        id: AttemptId::new(),
        number: delivery.next_number(),
        provider: "a".parse().unwrap(),
        request: 1,
        end,
        possible_duplicate: false,
        repetition: false,
        key_until: None,
        ended_at: SystemTime::now(),
    });
}
