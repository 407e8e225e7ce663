//! Claims about one delivery's way through the providers.

mod doubt;
mod failover;
mod health;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mockall::mock;

use super::*;
use crate::{
    Capabilities, DeliveryId, EmailProvider, Fault, ProviderId, ProviderSettings, Receipt,
    health::HealthPolicy, scheduler::RoundRobin,
};

mock! {
    #[derive(Debug)]
    pub(super) Provider {}

    #[async_trait]
    impl EmailProvider for Provider {
        fn id(&self) -> &ProviderId;
        fn kind(&self) -> &str;
        fn capabilities(&self) -> Arc<Capabilities>;
        async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError>;
        async fn lookup(&self, attempt: &Attempt) -> Result<crate::Lookup, SendError>;
        async fn probe(&self) -> Result<(), SendError>;
    }
}

/// A provider that answers each call as `answer` says, and must be called exactly `times`.
fn provider(
    name: &str,
    times: usize,
    answer: impl Fn(&Email, &Attempt) -> Result<Receipt, SendError> + Send + 'static,
) -> MockProvider {
    let mut mock = MockProvider::new();
    mock.expect_id().return_const(name.parse::<ProviderId>().unwrap());
    mock.expect_kind().return_const("mock".to_owned());
    mock.expect_capabilities().returning(|| Arc::new(Capabilities::default()));
    mock.expect_send().times(times).returning(answer);
    mock
}

fn failing(name: &str, times: usize, failure: Failure) -> MockProvider {
    provider(name, times, move |_, _| Err(SendError::new(failure.clone(), "said no")))
}

fn accepting(name: &str, times: usize) -> MockProvider {
    provider(name, times, |_, _| Ok(Receipt::new("taken")))
}

/// Round-robin over the providers in the order of their names.
fn dispatcher(providers: Vec<MockProvider>) -> Dispatcher {
    let registry = Registry::with_seed(HealthPolicy::default(), 1);
    for provider in providers {
        registry.add(Arc::new(provider), ProviderSettings::default()).unwrap();
    }
    Dispatcher::with_scheduler(registry, || Box::new(RoundRobin::default()))
}

fn email() -> Email {
    Email::builder("a@example.com".parse().unwrap())
        .to("b@example.org".parse().unwrap())
        .cc("c@example.org".parse().unwrap())
        .text("hi")
        .build()
        .unwrap()
}

fn delivery() -> Delivery {
    Delivery::new(email(), SystemTime::now())
}

/// Writes down what is committed, in order.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    fail_begin: bool,
}

impl Log {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

fn word(transition: &Transition) -> &'static str {
    match transition {
        Transition::Continue => "continue",
        Transition::Accepted => "accepted",
        Transition::Rejected { .. } => "rejected",
        Transition::Retry { .. } => "retry",
        Transition::Doubt { .. } => "doubt",
        Transition::Ask { .. } => "ask",
        Transition::InDoubt { .. } => "in doubt",
        Transition::Expired => "expired",
    }
}

#[async_trait]
impl AttemptLog for Log {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        if self.fail_begin {
            return Err(LogError::new("disk full"));
        }
        self.note(format!("begin {} at {}", attempt.number, attempt.provider));
        Ok(())
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.note(format!("end {} {}: {}", attempt.number, outcome.word(), word(transition)));
        Ok(())
    }

    async fn settle(&self, _: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.note(format!("settle: {}", word(transition)));
        Ok(())
    }

    async fn clear_up(
        &self,
        _: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.note(format!("clear up {}: {}", outcome.word(), word(transition)));
        Ok(())
    }
}
