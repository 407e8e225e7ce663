//! Servers and agents that run, and how they are stopped or killed.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use shivneri_core::{
    AgentSession, Attempt, AttemptId, AttemptLog, Email, EmailProvider, Failure, OnDoubt, Outcome,
    Transition,
};
use shivneri_testkit::mail::{builder_from_to, mail};
use shivneri_transport::{
    Hub, HubError, HubOptions, RemoteProvider,
    agent::{self, AgentError, AgentOptions, Exit},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use crate::house::{House, soon};

/// An open session and the account it serves.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) provider: Arc<RemoteProvider>,
    pub(crate) session: AgentSession,
    pub(crate) window: u32,
}

impl Seat {
    /// An attempt of this email at this session.
    pub(crate) fn attempt(&self, email: &Email, on_doubt: OnDoubt) -> Attempt {
        Attempt {
            session: Some(self.session.clone()),
            on_doubt,
            timeout: Duration::from_secs(10),
            ..Attempt::single(email, self.provider.id().clone())
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) house: Arc<House>,
    pub(crate) hub: Hub,
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<dyn AttemptLog>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: tokio::sync::Mutex<JoinHandle<Result<(), HubError>>>,
}

pub(crate) fn options() -> HubOptions {
    HubOptions { beat: Duration::from_millis(50), ..HubOptions::new(Uuid::from_u128(7)) }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(House::new(), options(), "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn with(house: Arc<House>, options: HubOptions, address: SocketAddr) -> Self {
        let hub = Hub::new(options, house.clone(), house.clone(), house.clone());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = hub.clone();
        let task = tokio::spawn(async move {
            serving.serve(listener, async { stopped.await.unwrap_or_default() }).await
        });
        let log = hub.acknowledging(house.clone());
        let (stop, task) = (Mutex::new(Some(stop)), tokio::sync::Mutex::new(task));
        Self { house, hub, address, log, stop, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it to end as it should.
    pub(crate) fn begin_stop(&self) {
        self.stop.lock().unwrap().take().unwrap().send(()).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn stopped(&self) {
        soon(&mut *self.task.lock().await).await.unwrap().unwrap();
    }

    /// Ends it in the middle of what it does.
    pub(crate) async fn kill(self) -> Arc<House> {
        let mut task = self.task.lock().await;
        task.abort();
        assert!(soon(&mut *task).await.unwrap_err().is_cancelled());
        self.house.clone()
    }

    /// Makes one attempt as a dispatcher would, commits included; its outcome's word.
    pub(crate) async fn dispatch(&self, seat: &Seat, email: &Email) -> &'static str {
        self.attempt(seat, email, &seat.attempt(email, OnDoubt::Resend)).await
    }

    pub(crate) async fn attempt(
        &self,
        seat: &Seat,
        email: &Email,
        attempt: &Attempt,
    ) -> &'static str {
        self.log.begin(attempt).await.unwrap();
        let outcome = Outcome::from(soon(seat.provider.send(email, attempt)).await);
        let transition = match outcome.error().map(|error| error.failure()) {
            Some(Failure::InDoubt(_)) => Transition::InDoubt { reason: "as the test says".into() },
            Some(_) => Transition::Continue,
            None => Transition::Accepted,
        };
        // What can't be committed stays open, as a queue would leave it.
        let _ = self.log.end(attempt, &outcome, &transition).await;
        outcome.word()
    }

    /// The same in the background, with an email of 10 KB.
    pub(crate) fn start_large_attempt(self: &Arc<Self>, seat: &Seat) -> JoinHandle<&'static str> {
        let email = builder_from_to("s@example.com", "r@example.org").text("x".repeat(10_000));
        self.in_background(seat, email.build().unwrap(), OnDoubt::Resend).1
    }

    /// The same with a small one.
    pub(crate) fn start_attempt(
        self: &Arc<Self>,
        seat: &Seat,
        on_doubt: OnDoubt,
    ) -> (AttemptId, JoinHandle<&'static str>) {
        self.in_background(seat, mail(1), on_doubt)
    }

    /// The same for the repetition of a request that the provider knows until then.
    pub(crate) fn start_repetition(
        self: &Arc<Self>,
        seat: &Seat,
        on_doubt: OnDoubt,
        key_until: SystemTime,
    ) -> JoinHandle<&'static str> {
        let email = mail(1);
        let first = seat.attempt(&email, on_doubt);
        let attempt = Attempt { repetition: true, key_until: Some(key_until), number: 2, ..first };
        let (server, seat) = (Arc::clone(self), seat.clone());
        tokio::spawn(async move { server.attempt(&seat, &email, &attempt).await })
    }

    fn in_background(
        self: &Arc<Self>,
        seat: &Seat,
        email: Email,
        on_doubt: OnDoubt,
    ) -> (AttemptId, JoinHandle<&'static str>) {
        let attempt = seat.attempt(&email, on_doubt);
        let (id, server, seat) = (attempt.id, Arc::clone(self), seat.clone());
        (id, tokio::spawn(async move { server.attempt(&seat, &email, &attempt).await }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.get_mut().abort();
    }
}

/// A running agent.
pub(crate) struct Agent {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<Exit, AgentError>>,
    state: PathBuf,
}

/// An agent called `a`, unless changed, with its state in `dir`.
pub(crate) fn agent_options(server: &str, dir: &Path) -> AgentOptions {
    let mut options = AgentOptions::new(server, "a".parse().unwrap());
    options.state_dir = dir.to_owned();
    options.drain = Duration::from_secs(10);
    options
}

impl Agent {
    pub(crate) fn start(provider: Arc<dyn EmailProvider>, options: AgentOptions) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let state = options.state_dir.clone();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let task = tokio::spawn(agent::serve(provider, options, shutdown));
        Self { stop: Some(stop), task, state }
    }

    /// Asks it to leave.
    pub(crate) fn leave(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// How it left.
    pub(crate) async fn left(self) -> Result<Exit, AgentError> {
        soon(self.task).await.unwrap()
    }

    /// Ends it in the middle of what it does; its directory is free after that.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(soon(self.task).await.unwrap_err().is_cancelled());
        let lock = File::open(self.state.join("lock")).unwrap();
        soon(async {
            while lock.try_lock().is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
