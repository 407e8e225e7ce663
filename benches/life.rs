//! What the record of each attempt costs: mail that is queued already, leased, recorded, offered,
//! settled. In the process and through an agent, `resend` and `hold`, in turn in one run, since
//! only ratios of one run mean anything.
#![allow(missing_docs, reason = "a benchmark has no interface")]

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use shivneri_benches::Instantly;
use shivneri_core::{
    AgentId, Attempt, AttemptId, AttemptLog, DeliveryId, Dispatcher, LateOutcomes, LogError,
    MessageId, OnDoubt, Outcome, ProviderSettings, Registry, Transition, UnsettledAttempt,
    draft::Draft, health::HealthPolicy, submit::Door,
};
use shivneri_spool::{
    Acceptance, Courier, CourierPolicy, Incoming, Spool, Sqlite, sqlite::Options,
};
use shivneri_transport::{
    Caller, Directory, Hub, HubOptions, Refusal, RegistrySessions,
    agent::{self, AgentOptions},
};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Duration, Instant},
};

const MAILS: u64 = 10_000;
const ROUNDS: usize = 3;
const WINDOW: u32 = 256;

/// Records an attempt only with its end: what a queue does that forgets at a crash what was sent.
#[derive(Debug)]
struct Unrecorded(Arc<dyn Spool>);

#[async_trait]
impl AttemptLog for Unrecorded {
    async fn begin(&self, _: &Attempt) -> Result<(), LogError> {
        Ok(())
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        // Handed over together, they share a commit.
        let (begun, ended) =
            tokio::join!(self.0.begin(attempt), self.0.end(attempt, outcome, transition));
        begun.and(ended)
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        self.0.settle(delivery, transition).await
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.0.clear_up(attempt, outcome, transition).await
    }
}

/// Lets every agent in, and passes late outcomes to the courier once there is one.
#[derive(Debug, Default)]
struct House {
    generation: AtomicU64,
    courier: OnceLock<Arc<Courier>>,
}

#[async_trait]
impl Directory for House {
    async fn admit(&self, _: &Caller<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn next_generation(&self, _: &AgentId) -> Result<u64, Refusal> {
        Ok(self.generation.fetch_add(1, Relaxed) + 1)
    }

    async fn may_start(&self, _: AttemptId, _: u64) -> bool {
        true
    }
}

#[async_trait]
impl LateOutcomes for House {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        self.courier.get().expect("it is set first").report(attempt, outcome).await
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        match self.courier.get() {
            Some(courier) => courier.unsettled(agent).await,
            None => Ok(Vec::new()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Unrecorded,
    InProcess,
    ByAgent(OnDoubt),
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Unrecorded => "in process, recorded at its end only",
            Self::InProcess => "in process, recorded before the offer",
            Self::ByAgent(OnDoubt::Resend) => "by an agent, resend",
            Self::ByAgent(OnDoubt::Hold) => "by an agent, hold",
        }
    }
}

async fn fill(spool: &Arc<Sqlite>, on_doubt: OnDoubt) {
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let spool = Arc::clone(spool);
        callers.spawn(async move {
            for _ in 0..MAILS / 64 {
                let draft = Draft {
                    from: Some("shop@example.com".into()),
                    to: vec!["customer@example.org".into()],
                    subject: "Your order".into(),
                    text: Some("x".repeat(2048)),
                    on_doubt: Some(on_doubt),
                    ..Draft::default()
                };
                let at = SystemTime::now();
                let message = draft.check(MessageId::new(), at).expect("it is valid");
                let incoming = Incoming {
                    message,
                    door: Door::Http,
                    owner: "bench".into(),
                    idempotency: None,
                    at,
                };
                let accepted = spool.accept(incoming).await.expect("it is taken");
                assert!(matches!(accepted, Acceptance::New { .. }));
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no caller panics");
    }
}

/// Mails a second from the queue to their end.
async fn rate(way: Way, dir: &Path) -> f64 {
    let spool = Sqlite::open(dir.join("spool.db"), Options::default()).expect("a new directory");
    let on_doubt = match way {
        Way::Unrecorded | Way::InProcess => OnDoubt::Resend,
        Way::ByAgent(on_doubt) => on_doubt,
    };
    fill(&spool, on_doubt).await;
    let spool: Arc<dyn Spool> = spool;
    let registry = Registry::new(HealthPolicy::default());
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&registry)));
    let taken = Arc::new(AtomicU64::new(0));
    let id = "instantly".parse().expect("a valid id");
    let provider = Arc::new(Instantly::new(id, Arc::clone(&taken)));
    let house = Arc::new(House::default());
    let settings = ProviderSettings { window: WINDOW, ..ProviderSettings::default() };
    let mut support = JoinSet::new();
    let driving = Arc::clone(&dispatcher);
    support.spawn(async move { driving.drive().await });
    let log: Arc<dyn AttemptLog> = match way {
        Way::Unrecorded => Arc::new(Unrecorded(Arc::clone(&spool))),
        Way::InProcess => Arc::clone(&spool) as Arc<dyn AttemptLog>,
        Way::ByAgent(_) => {
            let sessions = RegistrySessions::new(Arc::clone(&registry), move |_| settings.clone());
            let options = HubOptions::new(spool.incarnation());
            let hub = Hub::new(options, house.clone(), Arc::new(sessions), house.clone());
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let url = format!("http://{}", listener.local_addr().expect("it is bound"));
            let serving = hub.clone();
            support.spawn(async move {
                serving.serve(listener, std::future::pending()).await.expect("it serves");
            });
            let mut options = AgentOptions::new(url, "instantly".parse().expect("a valid id"));
            options.window = WINDOW;
            options.state_dir = dir.join("agent");
            let provider = Arc::clone(&provider);
            support.spawn(async move {
                agent::serve(provider, options, std::future::pending()).await.expect("it serves");
            });
            hub.acknowledging(Arc::clone(&spool) as Arc<dyn AttemptLog>)
        }
    };
    if !matches!(way, Way::ByAgent(_)) {
        let settings = ProviderSettings { window: WINDOW, ..ProviderSettings::default() };
        registry.add(provider, settings).expect("the first of its name");
    }
    let mut version = registry.version();
    while registry.free_places() == 0 {
        version = registry.changed(version).await;
    }
    let courier = Courier::new(Arc::clone(&spool), log, dispatcher, CourierPolicy::default());
    let courier = Arc::new(courier);
    let _ = house.courier.set(Arc::clone(&courier));
    let begun = Instant::now();
    support.spawn(async move {
        let _ = courier.run(std::future::pending()).await;
    });
    let unfinished = async || spool.stats().await.expect("it can be read").unfinished();
    // What counts is asked for only once it may be true.
    while taken.load(Relaxed) < MAILS / 64 * 64 || unfinished().await > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rate = (MAILS / 64 * 64) as f64 / begun.elapsed().as_secs_f64();
    support.shutdown().await;
    spool.close().await;
    rate
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let ways = [
        Way::Unrecorded,
        Way::InProcess,
        Way::ByAgent(OnDoubt::Resend),
        Way::ByAgent(OnDoubt::Hold),
    ];
    println!("{MAILS} mails of 2 KiB from the queue to their end, window {WINDOW}, in turn");
    println!("{:>38} {:>10} {:>8}", "", "mails/s", "ratio");
    for _ in 0..ROUNDS {
        let mut first = None;
        for way in ways {
            let dir = tempfile::tempdir()?;
            let rate = rate(way, dir.path()).await;
            let of = *first.get_or_insert(rate);
            println!("{:>38} {rate:>10.0} {:>8.3}", way.name(), rate / of);
        }
    }
    Ok(())
}
