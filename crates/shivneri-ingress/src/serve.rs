//! Running a router on a socket, with bounds on everything that a client may hold.

mod pace;

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use pace::Paced;
pub use pace::SlowBody;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

/// Bounds on what clients may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Connections at once; more wait in the kernel's queue. Default 4,096.
    pub max_connections: usize,
    /// The longest that a new connection may take to send its first request's head. Default 10 s.
    pub header_read_timeout: Duration,
    /// The longest that an HTTP/1 connection may be idle between requests, the next head included.
    /// Default 120 s: longer than the pools of common clients keep a connection (90 s), or one of
    /// them sends a request at the moment it is closed, and its application sees an error.
    pub idle_timeout: Duration,
    /// The longest that a request's body may take, and one second more for each 8 KiB of it.
    /// Default 30 s.
    pub body_timeout: Duration,
    /// How long running requests may take to finish once the server stops. Default 30 s.
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections that were cut off because they had not finished within the drain's time.
    pub cut_off: usize,
}

/// Serves HTTP/1 and HTTP/2 (by prior knowledge) until `shutdown` resolves. Then nothing new is
/// accepted, running requests are finished, idle connections are closed, and what is left after
/// the drain's time is cut off.
///
/// Dropping the future cuts off every connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Served {
    let places = Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place.expect("nobody closes the semaphore"), listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let carried = carry(stream, router.clone(), options, graceful.watcher());
                    connections.spawn(async move {
                        carried.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, perhaps: time must pass, or this loop would spin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(options.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!(open = connections.len(), "connections are cut off");
    }
    let mut cut_off = 0;
    connections.abort_all();
    while let Some(ended) = connections.join_next().await {
        cut_off += usize::from(drained.is_err() && ended.is_err_and(|error| error.is_cancelled()));
    }
    Served { cut_off }
}

/// Carries one connection to its end.
async fn carry(stream: TcpStream, router: Router, options: ServeOptions, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.idle_timeout)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128);
    let began = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let began = Arc::clone(&began);
        move |request: Request<Incoming>| {
            began.store(true, Relaxed);
            let router = router.clone();
            async move {
                let paced = |body| Body::new(Paced::new(body, options.body_timeout));
                let response = router.oneshot(request.map(paced)).await;
                response.map_err(|never: Infallible| match never {})
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut connection = pin!(watcher.watch(connection));
    // While it is open which version is spoken, hyper has no deadline of its own.
    tokio::select! {
        biased;
        ended = &mut connection => return report(ended),
        () = sleep(options.header_read_timeout) => {
            if !began.load(Relaxed) {
                tracing::debug!("a connection was closed that sent no request");
                return;
            }
        }
    }
    report(connection.await);
}

fn report(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
