//! The agent's end: serves one provider to a server, from beside its credentials.

mod beside;
mod connect;
mod dial;
mod drain;
mod link;
mod outgoing;
mod questions;
mod session;
mod shared;
mod work;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use shivneri_core::{AgentId, EmailProvider};
use tokio::time::sleep;

pub use self::connect::{Connect, Connection};
use self::{
    dial::{Backoff, Dialer},
    drain::Leaving,
    session::{End, Session},
    shared::{Shared, Work},
};
use crate::journal::{Journal, boot_id};
pub use crate::journal::{JournalError, JournalStore, Sync};

/// How an agent reaches its server and what it offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentOptions {
    /// The server's address, as `http://127.0.0.1:8526`.
    pub server: String,
    /// The agent's name and identity.
    pub agent: AgentId,
    /// Another way to the server than TCP; `server` is then its name only.
    pub connect: Option<Arc<dyn Connect>>,
    /// What proves the identity.
    pub token: Option<SecretString>,
    /// Sends at once, at least 1. 64.
    pub window: u32,
    /// Where the journal is kept; one process at a time.
    pub state_dir: PathBuf,
    /// Keeps the journal instead of a file in `state_dir`, which is then its name only.
    pub journal: Option<Arc<dyn JournalStore>>,
    /// How long a drain may take once shutdown is asked for. 30 s.
    pub drain: Duration,
    /// An outcome that the server has not acknowledged after once to twice this long is reported
    /// again. 5 s.
    pub report_again: Duration,
}

impl AgentOptions {
    /// The defaults: no token, the state in `./shivneri-agent-<agent>`.
    pub fn new(server: impl Into<String>, agent: AgentId) -> Self {
        Self {
            server: server.into(),
            connect: None,
            token: None,
            window: 64,
            state_dir: format!("shivneri-agent-{agent}").into(),
            agent,
            journal: None,
            drain: Duration::from_secs(30),
            report_again: Duration::from_secs(5),
        }
    }
}

/// How an agent left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All it had begun ended, and the server has acknowledged it.
    Drained,
    /// The drain's time was over, or the server was gone: the journal remembers the rest.
    CutShort {
        /// Sends that were still running; they are in doubt.
        running: usize,
        /// Outcomes that the server has not acknowledged.
        unacknowledged: usize,
    },
    /// Another connection of the same agent id took over; dialling again would only take the
    /// place back.
    Superseded,
}

/// Why an agent can't serve.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    /// The state directory can't be used, or the journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The server's address is none.
    #[error("{server:?} is not the address of a server: {reason}")]
    Server {
        /// The address.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server does not take this agent, now or later.
    #[error("the server refused agent {agent}: {reason}")]
    Refused {
        /// The agent.
        agent: AgentId,
        /// The server's reason.
        reason: String,
    },
}

/// Serves `provider` to the server until `shutdown` is done and everything begun is settled.
///
/// Dials for ever, with pauses of 100 ms to 5 s between. Provider id and kind are the provider's
/// own. On shutdown the agent takes nothing new, gives back what it has not started, waits for
/// what it has, and reports until all is acknowledged, for at most [`AgentOptions::drain`].
///
/// Dropping this future ends all sends at once; what they were about is in doubt, and the
/// journal will say so.
///
/// # Errors
///
/// [`AgentError`] where the state directory is in use or broken, the address is not valid, or
/// the server refused the agent for good.
pub async fn serve(
    provider: Arc<dyn EmailProvider>,
    options: AgentOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Exit, AgentError> {
    let dialer = Dialer::new(&options)?;
    let dir = options.state_dir.clone();
    let journal = match options.journal.clone() {
        Some(store) => Journal::open_in(store, dir).await?,
        None => {
            let opening = tokio::task::spawn_blocking(move || Journal::open(dir, boot_id()));
            opening.await.unwrap_or(Err(JournalError::Closed))?
        }
    };
    let mut leaving = Leaving::new(shutdown, options.drain);
    let shared = Arc::new(Shared::new(provider, options, journal));
    let mut work = Work::default();
    let mut backoff = Backoff::default();
    loop {
        let session = Session { shared: &shared, dialer: &dialer, backoff: &mut backoff };
        let end = session.run(&mut work, &mut leaving).await;
        shared.unlink().await;
        match end {
            End::Drained => return Ok(Exit::Drained),
            End::Superseded => {
                tracing::warn!(agent = %shared.options.agent, "another connection of this agent took over");
                work.finish(shared.options.drain).await;
                return Ok(Exit::Superseded);
            }
            End::Refused(reason) => {
                work.finish(shared.options.drain).await;
                return Err(AgentError::Refused { agent: shared.options.agent.clone(), reason });
            }
            End::Journal(error) => {
                work.finish(shared.options.drain).await;
                return Err(error.into());
            }
            End::Again => {}
            End::Lost(reason) => {
                let pause = backoff.next();
                tracing::info!(agent = %shared.options.agent, reason, ?pause, "not connected, dialling again");
                tokio::select! {
                    _ = leaving.next() => {}
                    () = sleep(pause) => {}
                }
            }
        }
        // Without a connection nothing can be acknowledged; the journal keeps it.
        if leaving.has_begun() && (work.is_idle() || leaving.is_over()) {
            let unacknowledged = *shared.journal.watch_unacknowledged().borrow();
            let running = work.running();
            if running == 0 && unacknowledged == 0 {
                return Ok(Exit::Drained);
            }
            return Ok(Exit::CutShort { running, unacknowledged });
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::CutShort { running, unacknowledged } => {
                write!(f, "cut short: {running} running, {unacknowledged} not acknowledged")
            }
            Self::Superseded => f.write_str("superseded"),
        }
    }
}
