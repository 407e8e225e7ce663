mod asking;
mod held;
mod keys;
mod last;
mod late;
mod stopping;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use shivneri_core::{
    Dispatcher, Failure, MessageId, ProviderSettings, Registry, draft::Draft, health::HealthPolicy,
};
use shivneri_testkit::{ScriptedProvider, Step};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use super::{Courier, CourierPolicy, CourierState, Drained};
use crate::{
    Clock, Memory, MessageRecord, Options, Spool, Status,
    contract::fixture::{accept, draft, record, seconds},
};

/// A spool, providers and a courier on tokio's paused clock.
struct Post {
    spool: Arc<dyn Spool>,
    registry: Arc<Registry>,
    courier: Arc<Courier>,
    clock: Clock,
    start: Instant,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Drained>,
}

impl Post {
    fn new() -> Self {
        let (start, base) = (Instant::now(), SystemTime::now());
        let clock = Clock::new(move || base + start.elapsed());
        let spool = Memory::with(&Options { clock: clock.clone(), ..Options::default() });
        let policy = CourierPolicy { clock: clock.clone(), ..CourierPolicy::default() };
        Self::with(spool.clone(), spool, clock, policy)
    }

    fn with(
        spool: Arc<dyn Spool>,
        log: Arc<dyn shivneri_core::AttemptLog>,
        clock: Clock,
        policy: CourierPolicy,
    ) -> Self {
        let registry = Registry::with_seed(HealthPolicy::default(), 7);
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&registry)).with_clock(clock.clone()));
        let courier = Arc::new(Courier::new(Arc::clone(&spool), log, dispatcher, policy));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn({
            let courier = Arc::clone(&courier);
            async move { courier.run(async { drop(stopped.await) }).await }
        });
        let start = Instant::now();
        Self { spool, registry, courier, clock, start, stop: Some(stop), running }
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn add(&self, provider: ScriptedProvider, window: u32) -> Arc<ScriptedProvider> {
        let provider = Arc::new(provider);
        let settings = ProviderSettings { window, ..ProviderSettings::default() };
        self.registry.add(provider.clone(), settings).unwrap();
        provider
    }

    async fn accept(&self, draft: &Draft) -> MessageId {
        accept(&self.spool, draft, self.now()).await
    }

    async fn record(&self, id: MessageId) -> MessageRecord {
        record(&self.spool, id).await
    }

    /// Lets time pass until the message shows this status.
    async fn until(&self, id: MessageId, status: Status) -> MessageRecord {
        let mut events = self.spool.last_event();
        let wait = async {
            loop {
                let record = self.record(id).await;
                if record.status() == status {
                    return record;
                }
                // An attempt's begin makes no event, so time passes as well.
                drop(tokio::time::timeout(Duration::from_millis(50), events.changed()).await);
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(7200), wait).await;
        match found {
            Ok(record) => record,
            Err(_) => panic!("never {status}: {:?}", self.record(id).await),
        }
    }

    async fn stop(mut self) -> Drained {
        drop(self.stop.take());
        self.running.await.unwrap()
    }
}

/// Accepts after so many seconds.
fn slow(seconds: u64) -> [Step; 2] {
    [Step::Delay(Duration::from_secs(seconds)), Step::Accept]
}

fn to_b() -> Draft {
    draft(&["b@example.org"])
}

#[tokio::test(start_paused = true)]
async fn due_mail_is_carried_to_a_provider() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    assert_eq!(record.attempts.len(), 1);
    assert_eq!(provider.accepted(), [id]);
    assert_eq!(post.courier.state(), CourierState::Running);
    assert_eq!(post.stop().await, Drained { left: 0 });
}

#[tokio::test(start_paused = true)]
async fn no_more_is_leased_than_the_window_has_places_for() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 3);
    provider.script(std::iter::repeat_n(slow(1), 10).flatten());
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(post.accept(&to_b()).await);
    }
    for id in &ids {
        post.until(*id, Status::Accepted).await;
    }
    assert_eq!((provider.peak_in_flight(), provider.call_count()), (3, 10));
    for id in ids {
        assert_eq!(post.record(id).await.attempts.len(), 1, "nobody lost a place to another");
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_was_certainly_not_sent_is_tried_again_later() {
    let post = Post::new();
    let unavailable = || Step::fail(Failure::Unavailable);
    let provider =
        post.add(ScriptedProvider::new("alpha").then(unavailable()).then(unavailable()), 8);
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Accepted).await;
    let outcomes: Vec<_> = record.attempts.iter().filter_map(|a| a.outcome.as_deref()).collect();
    assert_eq!(outcomes, ["unavailable", "unavailable", "accepted"]);
    let waited = record.attempts[2].started_at.duration_since(record.summary.accepted_at);
    assert!(waited.is_ok(), "the first try was not the last");
    assert_eq!(provider.call_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn scheduled_mail_goes_out_at_its_time() {
    let post = Post::new();
    let provider = post.add(ScriptedProvider::new("alpha"), 8);
    let at = post.now() + seconds(3600);
    let id = post.accept(&Draft { send_at: Some(at), ..to_b() }).await;
    tokio::time::sleep(seconds(3590)).await;
    assert_eq!((post.record(id).await.status(), provider.call_count()), (Status::Scheduled, 0));
    provider.called(1).await;
    assert!(post.now() >= at && post.now() < at + seconds(1));
    post.until(id, Status::Accepted).await;
}

#[tokio::test(start_paused = true)]
async fn mail_past_its_time_is_offered_to_nobody() {
    let post = Post::new();
    let end = post.now() + seconds(60);
    let id = post.accept(&Draft { expires_at: Some(end), ..to_b() }).await;
    let record = post.until(id, Status::Expired).await;
    assert!(record.attempts.is_empty());
    assert!(post.now() < end + seconds(11), "though nobody could have taken it");

    let behind = post.add(ScriptedProvider::new("alpha"), 1);
    behind.script(slow(45));
    let first = post.accept(&to_b()).await;
    behind.called(1).await;
    let expires_at = Some(post.now() + seconds(30));
    let second = post.accept(&Draft { expires_at, ..to_b() }).await;
    post.until(second, Status::Expired).await;
    post.until(first, Status::Accepted).await;
    assert_eq!(behind.call_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn however_much_mail_is_past_its_time_it_expires_at_once() {
    let post = Post::new();
    let end = post.now() + seconds(60);
    for _ in 0..3_000 {
        post.accept(&Draft { expires_at: Some(end), ..to_b() }).await;
    }
    tokio::time::sleep(seconds(59)).await;
    assert_eq!(post.spool.stats().await.unwrap().unfinished(), 3_000);
    tokio::time::sleep(seconds(13)).await;
    assert_eq!(post.spool.stats().await.unwrap().unfinished(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_providers_code_leaves_a_doubt() {
    let post = Post::new();
    let settings = ProviderSettings::default();
    post.registry.add(Arc::new(Panicking("alpha".parse().unwrap())), settings).unwrap();
    let id = post.accept(&to_b()).await;
    let record = post.until(id, Status::Sending).await;
    assert_eq!(record.id(), id);
    let mut events = post.spool.last_event();
    events.wait_for(|last| *last >= 2).await.unwrap();
    let record = post.record(id).await;
    assert!(record.summary.in_doubt);
    assert_eq!(record.attempts[0].outcome.as_deref(), Some("in_doubt"));
    assert_eq!(post.spool.stats().await.unwrap().open_attempts, 0);
}

#[derive(Debug)]
struct Panicking(shivneri_core::ProviderId);

#[async_trait::async_trait]
impl shivneri_core::EmailProvider for Panicking {
    fn id(&self) -> &shivneri_core::ProviderId {
        &self.0
    }

    fn kind(&self) -> &str {
        "panicking"
    }

    fn capabilities(&self) -> Arc<shivneri_core::Capabilities> {
        Arc::default()
    }

    async fn send(
        &self,
        _: &shivneri_core::Email,
        _: &shivneri_core::Attempt,
    ) -> Result<shivneri_core::Receipt, shivneri_core::SendError> {
        panic!("as a provider with a bug does");
    }

    async fn probe(&self) -> Result<(), shivneri_core::SendError> {
        Ok(())
    }
}
