//! A server from its start to the end of its drain.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use shivneri_core::{Dispatcher, Registry};
use shivneri_ingress::ServeOptions;
use shivneri_spool::{Courier, Retention, Spool};
use shivneri_transport::Hub;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    Builder, Config, RunError, Signals,
    directory::{self, Identities},
    keeper,
};

/// How often what is past its retention is collected.
const COLLECT: Duration = Duration::from_secs(60);

/// A server whose parts are ready and whose addresses are bound.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) hub: Hub,
    pub(crate) identities: Arc<Identities>,
    pub(crate) router: Router,
    /// Raised when the HTTP door closes, so that pages' live streams end.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) http: TcpListener,
    pub(crate) http_address: SocketAddr,
    pub(crate) agents: TcpListener,
    pub(crate) agents_address: SocketAddr,
}

/// The parts of a running server that end at different times of its drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Http,
    Agents,
    Courier,
}

impl Server {
    /// Begins a server with this configuration.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// Where the HTTP API and the console are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where agents connect.
    pub fn agents_address(&self) -> SocketAddr {
        self.agents_address
    }

    /// The line that tells programs where everything is.
    pub fn ready_line(&self) -> String {
        format!("ready http={} smtp=off agents={}", self.http_address, self.agents_address)
    }

    /// Serves until the first signal, then drains: no new mail is taken, what is under way is
    /// finished for as long as the configuration's `drain.timeout`, and the spool is closed. A
    /// second signal cuts the drain short; what was under way is then in doubt.
    ///
    /// # Errors
    ///
    /// [`RunError`] where a part of the server failed, or the drain was cut short.
    pub async fn run(self, mut signals: Signals) -> Result<(), RunError> {
        let (http_stop, http_stopped) = (self.closing.clone(), self.closing.subscribe());
        let (courier_stop, courier_stopped) = watch::channel(false);
        let (hub_stop, hub_stopped) = watch::channel(false);
        let limit = self.config.drain;
        let mut parts: JoinSet<(Part, Result<usize, RunError>)> = JoinSet::new();

        let options = ServeOptions {
            max_connections: self.config.max_connections,
            drain_timeout: limit,
            ..ServeOptions::default()
        };
        let (listener, router) = (self.http, self.router);
        parts.spawn(async move {
            shivneri_ingress::serve(listener, router, options, flag(http_stopped)).await;
            (Part::Http, Ok(0))
        });
        let (listener, hub) = (self.agents, self.hub.clone());
        parts.spawn(async move {
            let served = hub.serve(listener, flag(hub_stopped)).await;
            (Part::Agents, served.map(|()| 0).map_err(RunError::from))
        });
        let courier = Arc::clone(&self.courier);
        parts.spawn(async move {
            let drained = courier.run(flag(courier_stopped)).await;
            (Part::Courier, Ok(drained.left))
        });
        let mut support = JoinSet::new();
        let dispatcher = Arc::clone(&self.dispatcher);
        support.spawn(async move { dispatcher.drive().await });
        support.spawn(keeper::keep(Arc::clone(&self.registry), Arc::clone(&self.spool)));
        let registry = Arc::clone(&self.registry);
        support.spawn(directory::end_withdrawn(self.identities, registry, self.hub.clone()));
        let retention =
            Retention { body: self.config.keep_bodies, message: self.config.keep_messages };
        support.spawn(collect(Arc::clone(&self.spool), retention));

        let mut result = tokio::select! {
            () = signals.next() => Ok(()),
            Some(ended) = parts.join_next() => Err(failure(ended)),
            Some(_) = support.join_next() => Err(RunError::Ended("a part that lets time pass")),
        };
        tracing::info!(limit = ?limit, "draining; a second signal hurries");
        http_stop.send_replace(true);
        courier_stop.send_replace(true);
        let drain = async {
            while let Some(ended) = parts.join_next().await {
                match ended {
                    Ok((Part::Courier, Ok(left))) => {
                        if left > 0 && result.is_ok() {
                            result = Err(RunError::CutShort { left });
                        }
                        // Outcomes have been committed: agents may be told, and go.
                        hub_stop.send_replace(true);
                    }
                    Ok((_, Ok(_))) => {}
                    ended => {
                        if result.is_ok() {
                            result = Err(failure(ended));
                        }
                        hub_stop.send_replace(true);
                    }
                }
            }
        };
        let hurried = tokio::select! {
            () = drain => false,
            () = signals.next() => true,
        };
        if hurried {
            tracing::warn!("the drain was cut short by a second signal");
            // Counted while they are there: ending the courier gives their places back.
            let left = self.registry.views().iter().map(|view| view.in_flight as usize).sum();
            parts.shutdown().await;
            result = Err(RunError::CutShort { left });
        }
        support.shutdown().await;
        self.spool.close().await;
        tracing::info!("stopped");
        result
    }
}

fn failure(ended: Result<(Part, Result<usize, RunError>), tokio::task::JoinError>) -> RunError {
    match ended {
        Ok((_, Err(error))) => error,
        Ok((Part::Http, Ok(_))) => RunError::Ended("the HTTP door"),
        Ok((Part::Agents, Ok(_))) => RunError::Ended("the agents' door"),
        Ok((Part::Courier, Ok(_))) => RunError::Ended("the courier"),
        Err(_) => RunError::Ended("a part that panicked"),
    }
}

/// Returns once the flag is raised.
async fn flag(mut raised: watch::Receiver<bool>) {
    // An error means that who could raise it is gone, which is the same.
    let _ = raised.wait_for(|raised| *raised).await;
}

/// Deletes what is past its retention, for ever.
async fn collect(spool: Arc<dyn Spool>, retention: Retention) {
    let mut ticker = tokio::time::interval(COLLECT);
    loop {
        ticker.tick().await;
        loop {
            match spool.collect(retention, SystemTime::now()).await {
                Ok(collected) if collected.bodies + collected.messages > 0 => {
                    tracing::debug!(
                        bodies = collected.bodies,
                        messages = collected.messages,
                        "collected"
                    );
                }
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "what is past its retention could not be collected");
                    break;
                }
            }
        }
    }
}
