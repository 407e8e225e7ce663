//! The server's end: takes agents' connections and makes providers of them.

mod acknowledging;
mod connection;
mod directory;
mod driver;
mod inner;
mod news;
mod offered;
mod outgoing;
mod questions;
mod reconcile;
mod remote;
mod service;
mod session;
mod sessions;
mod settling;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use shivneri_core::{AgentId, AttemptLog, Capabilities, Clock, LateOutcomes, ProviderId};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{interval, timeout},
};
use tonic::transport::{
    Server,
    server::{Connected, TcpIncoming},
};
use uuid::Uuid;

use self::{
    acknowledging::Acknowledging,
    connection::Connection,
    inner::Inner,
    service::{GREETINGS, Service},
};
pub use self::{
    directory::{Caller, Directory, Refusal},
    remote::RemoteProvider,
    sessions::{RegistrySessions, Sessions},
};
use crate::{protocol::MAX_FRAME, wire::agents_server::AgentsServer};

/// How a [`Hub`] behaves.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Names the queue's data: a restored backup has another one, and no journal proves anything
    /// about what it offers to settle.
    pub incarnation: Uuid,
    /// How often agents are to beat. 250 ms.
    pub beat: Duration,
    /// A session that says nothing for so long is closed. 10 s; pauses of this process do not
    /// count.
    pub silence: Duration,
    /// How long an offer may wait at an agent before it is started, at most half of the
    /// attempt's timeout. 30 s.
    pub validity: Duration,
    /// How long a probe or look-up may take. 30 s.
    pub question_timeout: Duration,
    /// How long offers that are out may take to end when the hub stops. 10 s.
    pub drain: Duration,
    /// Where the time of day is read, by which providers forget idempotency keys.
    pub clock: Clock,
}

impl HubOptions {
    /// The defaults, for this queue's data.
    pub fn new(incarnation: Uuid) -> Self {
        Self {
            incarnation,
            beat: Duration::from_millis(250),
            silence: Duration::from_secs(10),
            validity: Duration::from_secs(30),
            question_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            clock: Clock::default(),
        }
    }
}

/// The hub could not go on serving.
#[derive(Debug, thiserror::Error)]
#[error("agents can't be served any more")]
pub struct HubError {
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Takes the connections of agents. Cloning gives another handle on the same hub.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

/// Connections that have said nothing yet, and sessions whose driver waits to be taken over.
const DRIVERS_WAITING: usize = 64;
const SWEEP: Duration = Duration::from_secs(10);
/// How long connections may take to close once all sessions are over.
const CLOSING: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(20);

impl Hub {
    /// A hub that asks `directory` whom to admit, tells `sessions` who is there, and `late` what
    /// became of attempts that nobody waits for.
    pub fn new(
        options: HubOptions,
        directory: Arc<dyn Directory>,
        sessions: Arc<dyn Sessions>,
        late: Arc<dyn LateOutcomes>,
    ) -> Self {
        Self { inner: Arc::new(Inner::new(options, directory, sessions, late)) }
    }

    /// The provider that the agents of this account serve, made if it is not there yet: so an
    /// account that was known before a restart can be registered, with what it could carry last,
    /// before its agents are back.
    ///
    /// # Errors
    ///
    /// Its kind, where it is there and of another kind.
    pub fn provider(
        &self,
        id: &ProviderId,
        kind: &str,
        capabilities: Capabilities,
    ) -> Result<Arc<RemoteProvider>, String> {
        self.inner.provider(id, kind, capabilities)
    }

    /// Forgets an account whose agents are all gone, so that it may come back as another kind.
    /// Whether it could.
    pub fn forget(&self, id: &ProviderId) -> bool {
        self.inner.forget(id)
    }

    /// Ends this agent's session, as after its identity was withdrawn. It may dial again, and the
    /// directory decides then. Whether it had one.
    pub fn dismiss(&self, agent: &AgentId) -> bool {
        self.inner.dismiss(agent)
    }

    /// Wraps the log that attempts are committed to, so that agents learn when their outcomes
    /// are. Every dispatch to an agent's provider must use the wrapped one; without it agents
    /// report the same outcome again and again until [`LateOutcomes`] has taken it.
    pub fn acknowledging(&self, log: Arc<dyn AttemptLog>) -> Arc<dyn AttemptLog> {
        Arc::new(Acknowledging { log, hub: Arc::clone(&self.inner) })
    }

    /// Serves agents on `listener` until `shutdown` is done; then asks them to give back what
    /// they have not started, waits up to [`HubOptions::drain`] for the rest, and closes.
    ///
    /// Dropping this future closes all sessions at once.
    ///
    /// # Errors
    ///
    /// [`HubError`] where the listener failed.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), HubError> {
        self.serve_all(TcpIncoming::from(listener).with_nodelay(Some(true)), shutdown).await
    }

    /// The same for connections that come by another way than TCP: each a stream of bytes, and
    /// the address it comes from where it has one.
    ///
    /// # Errors
    ///
    /// [`HubError`] where `connections` gave an error.
    pub async fn serve_connections<IO>(
        &self,
        connections: impl Stream<Item = io::Result<(IO, Option<SocketAddr>)>> + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), HubError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connections = connections.map(|one| one.map(|(io, peer)| Connection { io, peer }));
        self.serve_all(connections, shutdown).await
    }

    async fn serve_all<IO>(
        &self,
        connections: impl Stream<Item = io::Result<IO>> + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), HubError>
    where
        IO: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
    {
        let _closing = Closing(&self.inner);
        let (drivers, mut waiting) = mpsc::channel(DRIVERS_WAITING);
        let (stop, stopped) = oneshot::channel::<()>();
        let greetings = Semaphore::new(GREETINGS);
        let service = Service { hub: Arc::clone(&self.inner), drivers, greetings };
        let service = AgentsServer::new(service)
            .max_decoding_message_size(MAX_FRAME)
            .max_encoding_message_size(MAX_FRAME);
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .initial_connection_window_size(1 << 20)
            .max_concurrent_streams(1024)
            .add_service(service)
            .serve_with_incoming_shutdown(connections, async {
                // Dropped together with this future, which ends the server as well.
                let _ = stopped.await;
            });
        let ending = async {
            shutdown.await;
            self.inner.stop().await;
            // The server is polled beside this and still listens to it.
            let _ = stop.send(());
            tokio::time::sleep(CLOSING).await;
        };
        tokio::pin!(server, ending);
        let mut running = JoinSet::new();
        let mut sweep = interval(SWEEP);
        let result = loop {
            tokio::select! {
                result = &mut server => {
                    break result.map_err(|error| HubError { source: error.into() });
                }
                () = &mut ending => break Ok(()),
                Some(driver) = waiting.recv() => {
                    running.spawn(driver);
                }
                Some(ended) = running.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an agent's session failed");
                    }
                }
                _ = sweep.tick() => {
                    let inner = Arc::clone(&self.inner);
                    running.spawn(async move { inner.sweep().await });
                }
            }
        };
        self.inner.shut();
        // What is still to be told of late outcomes is told; sessions are over.
        let rest = async { while running.join_next().await.is_some() {} };
        if timeout(CLOSING, rest).await.is_err() {
            tracing::warn!("late outcomes were left for the agents to report again");
        }
        result
    }
}

/// Closes all sessions, however serving ends: connections have tasks of their own, which end
/// with their last stream.
struct Closing<'a>(&'a Inner);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.shut();
    }
}
