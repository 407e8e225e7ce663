use super::*;
use crate::OnDoubt;

fn in_doubt(delivery: &mut Delivery, provider: &str, doubt: Doubt, possible_duplicate: bool) {
    let number = delivery.next_number();
    delivery.history.push(PastAttempt {
        id: AttemptId::new(),
        number,
        provider: provider.parse().unwrap(),
        request: number,
        end: PastEnd::InDoubt(doubt),
        possible_duplicate,
        repetition: false,
        key_until: None,
        ended_at: SystemTime::now(),
    });
}

#[tokio::test]
async fn what_was_perhaps_sent_is_offered_to_nobody_else() {
    for doubt in [Doubt::Weak, Doubt::Strong] {
        let dispatcher =
            dispatcher(vec![failing("a", 1, Failure::InDoubt(doubt)), accepting("b", 0)]);
        let log = Log::default();
        let verdict = dispatcher.dispatch(&delivery(), &log).await.unwrap();
        assert!(matches!(verdict, Verdict::InDoubt { until: Some(_) }));
        assert_eq!(log.lines(), ["begin 1 at a", "end 1 in_doubt: doubt"]);
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_leaves_strong_doubt() {
    let mut silent = MockProvider::new();
    silent.expect_id().return_const("a".parse::<ProviderId>().unwrap());
    silent.expect_kind().return_const("mock".to_owned());
    silent.expect_capabilities().returning(|| Arc::new(Capabilities::default()));
    silent.expect_send().times(0);
    // mockall answers at once, so silence is played by a provider of its own.
    #[derive(Debug)]
    struct Silent(MockProvider);
    #[async_trait]
    impl EmailProvider for Silent {
        fn id(&self) -> &ProviderId {
            self.0.id()
        }
        fn kind(&self) -> &str {
            self.0.kind()
        }
        fn capabilities(&self) -> Arc<Capabilities> {
            self.0.capabilities()
        }
        async fn send(&self, _: &Email, _: &Attempt) -> Result<Receipt, SendError> {
            std::future::pending().await
        }
        async fn probe(&self) -> Result<(), SendError> {
            Ok(())
        }
    }
    tokio::time::pause();
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    registry.add(Arc::new(Silent(silent)), ProviderSettings::default()).unwrap();
    let dispatcher = Dispatcher::new(registry);
    let verdict = dispatcher.dispatch(&delivery(), &()).await.unwrap();
    assert!(matches!(verdict, Verdict::InDoubt { until: Some(_) }));
}

#[tokio::test]
async fn a_resend_goes_to_the_same_provider_first_and_is_marked() {
    let marked = provider("b", 1, |_, attempt| {
        assert!(attempt.possible_duplicate && attempt.number == 2);
        Ok(Receipt::new("taken"))
    });
    let dispatcher = dispatcher(vec![accepting("a", 0), marked]);
    let mut delivery = delivery();
    in_doubt(&mut delivery, "b", Doubt::Strong, false);
    let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn held_mail_in_doubt_is_never_sent_again() {
    let dispatcher = dispatcher(vec![accepting("a", 0)]);
    let mut delivery = Delivery { on_doubt: OnDoubt::Hold, ..delivery() };
    in_doubt(&mut delivery, "a", Doubt::Weak, false);
    let log = Log::default();
    let verdict = dispatcher.dispatch(&delivery, &log).await.unwrap();
    assert_eq!(verdict, Verdict::InDoubt { until: None });
    assert_eq!(log.lines(), ["settle: in doubt"]);
}

#[tokio::test]
async fn mail_sent_again_by_a_persons_word_goes_out_at_once_and_keeps_its_doubt() {
    let held = Delivery { on_doubt: OnDoubt::Hold, overruled: true, ..delivery() };
    let marked = provider("a", 1, |_, attempt| {
        assert!(attempt.possible_duplicate);
        Err(SendError::new(Failure::Rejected(Scope::Message), "bad content"))
    });
    let log = Log::default();
    dispatcher(vec![marked]).dispatch(&held, &log).await.unwrap();
    assert_eq!(log.lines(), ["begin 1 at a", "end 1 rejected: in doubt"]);
    assert!(matches!(decision::expiry(&held), Transition::InDoubt { .. }));
    assert_eq!(decision::after_doubt(&held), None);
}

#[tokio::test]
async fn after_strong_doubt_it_is_sent_again_twice_at_most() {
    let dispatcher = dispatcher(vec![failing("a", 2, Failure::InDoubt(Doubt::Strong))]);
    let mut delivery = delivery();
    in_doubt(&mut delivery, "a", Doubt::Strong, false);
    for _ in 0..2 {
        let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
        assert!(matches!(verdict, Verdict::InDoubt { until: Some(_) }));
        in_doubt(&mut delivery, "a", Doubt::Strong, true);
    }
    let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
    assert_eq!(verdict, Verdict::InDoubt { until: None });
}

#[test]
fn repetitions_of_a_resend_use_up_no_resend() {
    let mut delivery = delivery();
    in_doubt(&mut delivery, "a", Doubt::Strong, false);
    for again in [false, true, true, true] {
        in_doubt(&mut delivery, "a", Doubt::Strong, true);
        delivery.history.last_mut().unwrap().repetition = again;
    }
    assert_eq!((delivery.resends_after_strong_doubt(), delivery.history.len()), (1, 5));
    let (since, repeated) = delivery.doubt_since().unwrap();
    assert_eq!((since, repeated), (delivery.history[1].ended_at, 3));
}

#[tokio::test]
async fn a_later_rejection_does_not_hide_that_mail_perhaps_went_out() {
    let dispatcher = dispatcher(vec![failing("a", 1, Failure::Rejected(Scope::Message))]);
    let mut delivery = delivery();
    in_doubt(&mut delivery, "a", Doubt::Strong, false);
    let log = Log::default();
    let verdict = dispatcher.dispatch(&delivery, &log).await.unwrap();
    assert_eq!(verdict, Verdict::InDoubt { until: None });
    assert_eq!(log.lines()[1], "end 2 rejected: in doubt");
    assert_eq!(
        decision::expiry(&delivery),
        Transition::InDoubt { reason: "its time ran out while an attempt was in doubt".into() }
    );
}

#[tokio::test]
async fn a_failure_after_doubt_retries_and_keeps_the_doubt() {
    let dispatcher = dispatcher(vec![failing("a", 1, Failure::Unavailable)]);
    let mut delivery = delivery();
    in_doubt(&mut delivery, "a", Doubt::Strong, false);
    let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
    assert!(matches!(verdict, Verdict::Deferred(Deferral::Retry { .. })));
    assert!(delivery.is_in_doubt());
}

#[tokio::test]
async fn what_was_certainly_not_sent_after_a_doubt_is_no_resend() {
    let dispatcher = dispatcher(vec![failing("a", 3, Failure::Unavailable)]);
    let mut delivery = delivery();
    in_doubt(&mut delivery, "a", Doubt::Strong, false);
    for _ in 0..3 {
        let verdict = dispatcher.dispatch(&delivery, &()).await.unwrap();
        assert!(matches!(verdict, Verdict::Deferred(Deferral::Retry { .. })), "{verdict:?}");
        in_doubt(&mut delivery, "a", Doubt::Strong, true);
        delivery.history.last_mut().unwrap().end = PastEnd::Unavailable;
    }
}
