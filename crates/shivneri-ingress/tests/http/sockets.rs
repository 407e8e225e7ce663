//! The server on a real socket: what clients may hold, and how it stops.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use axum::{Router, routing::get};
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shivneri_ingress::{ServeOptions, Served, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::rig::{Rig, message};

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Served>,
}

impl Running {
    async fn start(router: Router, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(listener, router, options, until));
        Self { address, stop: Some(stop), served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(self) -> Served {
        timeout(Duration::from_secs(20), self.served).await.unwrap().unwrap()
    }
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut off may end in a reset.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

fn short(milliseconds: u64) -> ServeOptions {
    let short = Duration::from_millis(milliseconds);
    ServeOptions {
        header_read_timeout: short,
        idle_timeout: short,
        body_timeout: short,
        ..ServeOptions::default()
    }
}

fn posted(close: bool) -> String {
    let body = message().to_string();
    let connection = if close { "close" } else { "keep-alive" };
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: {connection}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_message_goes_in_over_a_socket() {
    let rig = Rig::new().await;
    let mut running = Running::start(rig.router.clone(), ServeOptions::default()).await;
    let mut stream = running.connect().await;
    stream.write_all(posted(true).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    running.stop();
    assert_eq!(running.ended().await, Served { cut_off: 0 });
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let rig = Rig::new().await;
    let mut running = Running::start(rig.router.clone(), ServeOptions::default()).await;
    let io = TokioIo::new(running.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let uri = format!("http://{}/readyz", running.address);
    let request = http::Request::get(uri).body(String::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    drop(sender);
    connection.await.unwrap().unwrap();
    running.stop();
    assert_eq!(running.ended().await, Served { cut_off: 0 });
}

#[tokio::test]
async fn a_client_that_sends_no_whole_head_in_time_is_closed() {
    let rig = Rig::new().await;
    let running = Running::start(rig.router.clone(), short(300)).await;
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\nHost: local"] {
        let mut stream = running.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let began = Instant::now();
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{begun:?}: {answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{begun:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let rig = Rig::new().await;
    let running = Running::start(rig.router.clone(), short(300)).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_longer_than_its_first_request_may_take() {
    let rig = Rig::new().await;
    let options = ServeOptions { idle_timeout: Duration::from_secs(20), ..short(200) };
    let running = Running::start(rig.router.clone(), options).await;
    let mut stream = running.connect().await;
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    // Idle for longer than a new connection may be: nothing more comes, no end either.
    let rest = timeout(Duration::from_millis(600), stream.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_err(), "it was closed");
    stream.write_all(request).await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let rig = Rig::new().await;
    let running = Running::start(rig.router.clone(), short(300)).await;
    let mut stream = running.connect().await;
    let whole = posted(false);
    stream.write_all(&whole.as_bytes()[..whole.len() - 5]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert_eq!(rig.spool.audit().await.unwrap().accepted, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_trace() {
    let rig = Rig::new().await;
    let running = Running::start(rig.router.clone(), ServeOptions::default()).await;
    let mut stream = running.connect().await;
    let whole = posted(false);
    stream.write_all(&whole.as_bytes()[..whole.len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(rig.spool.audit().await.unwrap().accepted, 0);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let rig = Rig::new().await;
    let options = ServeOptions { max_connections: 2, ..ServeOptions::default() };
    let running = Running::start(rig.router.clone(), options).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = running.connect().await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        held.push(stream);
    }
    let mut third = running.connect().await;
    third.write_all(posted(true).as_bytes()).await.unwrap();
    let mut first_byte = [0; 1];
    let waited = timeout(Duration::from_millis(200), third.read(&mut first_byte)).await;
    assert!(waited.is_err(), "answered although both places are taken");
    held.pop();
    let answer = rest(&mut third).await;
    assert!(answer.contains("202 Accepted"), "{answer}");
}

/// A page whose answer waits until it is told to go.
fn slow_page() -> (Router, std::sync::Arc<Notify>, std::sync::Arc<Notify>) {
    let (begun, go) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let (in_page, until) = (begun.clone(), go.clone());
    let page = async move || {
        in_page.notify_one();
        until.notified().await;
        "done"
    };
    (Router::new().route("/slow", get(page)), begun, go)
}

#[tokio::test]
async fn a_running_request_is_finished_before_the_server_ends() {
    let (router, begun, go) = slow_page();
    let mut running = Running::start(router, ServeOptions::default()).await;
    let mut idle = running.connect().await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    running.stop();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    assert!(TcpStream::connect(running.address).await.is_err(), "nothing new is taken");
    assert!(!running.served.is_finished());
    go.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    assert_eq!(running.ended().await, Served { cut_off: 0 });
}

#[tokio::test]
async fn what_does_not_finish_within_the_drains_time_is_cut_off() {
    let (router, begun, _go) = slow_page();
    let drain_timeout = Duration::from_millis(200);
    let options = ServeOptions { drain_timeout, ..ServeOptions::default() };
    let mut running = Running::start(router, options).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    let began = SystemTime::now();
    running.stop();
    assert_eq!(running.ended().await, Served { cut_off: 1 });
    assert!(began.elapsed().unwrap() >= drain_timeout);
    assert_eq!(rest(&mut stream).await, "");
}
