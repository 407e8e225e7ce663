use std::{cell::Cell, net::SocketAddr};

use h2::Reason;
use shivneri_core::{Cause, Doubt};
use shivneri_testkit::{FaultServer, Reply as Served};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::*;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const LARGE: usize = 24 << 20;

fn http(base: &str) -> Http {
    Http::new(base, None, [Secret::new("canary")]).unwrap()
}

fn post(bytes: usize) -> Request {
    let kind = HeaderValue::from_static("application/octet-stream");
    Request::post("/send", kind, Bytes::from(vec![b'x'; bytes]))
}

async fn failure(reply: Served, bytes: usize, timeout: Duration) -> SendError {
    let server = FaultServer::start().await;
    server.reply_with(reply);
    http(&server.url()).call(post(bytes), timeout).await.unwrap_err()
}

#[tokio::test]
async fn a_failure_before_the_last_byte_is_certainly_not_sent() {
    for reply in [Served::ResetBeforeBody, Served::ResetInBody] {
        let error = failure(reply.clone(), LARGE, LONG).await;
        assert_eq!(*error.failure(), Failure::Unavailable, "{reply:?}: {error}");
        assert_eq!(error.cause(), Cause::Provider);
    }
}

#[tokio::test]
async fn a_failure_after_the_last_byte_is_perhaps_sent() {
    for reply in [
        Served::ResetAfterBody,
        Served::CloseAfterBody,
        Served::ResetInAnswer,
        Served::CloseInAnswer,
    ] {
        let error = failure(reply.clone(), 1000, LONG).await;
        assert_eq!(*error.failure(), Failure::InDoubt(Doubt::Strong), "{reply:?}: {error}");
    }
    let error = failure(Served::Stall, 1000, SHORT).await;
    assert_eq!(*error.failure(), Failure::InDoubt(Doubt::Strong), "{error}");
}

#[tokio::test]
async fn a_connection_that_never_was_is_the_links_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = http(&format!("http://{address}")).call(post(1000), LONG).await.unwrap_err();
    assert_eq!((error.failure(), error.cause()), (&Failure::Unavailable, Cause::Link));
    assert!(error.detail().contains("refused"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = format!("https://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { while listener.accept().await.is_ok() {} });
    for base in ["http://nowhere.invalid", &no_tls] {
        let error = http(base).call(post(1000), LONG).await.unwrap_err();
        let found = (error.failure(), error.cause());
        assert_eq!(found, (&Failure::Unavailable, Cause::Link), "{base}: {error}");
    }
}

#[tokio::test]
async fn a_body_has_its_length_and_an_answer_is_cut_at_64_kib() {
    let server = FaultServer::start().await;
    server.reply_with(Served::Huge { status: 200, bytes: 1 << 20 });
    let reply = http(&server.url()).call(post(200_000), LONG).await.unwrap();
    assert_eq!(reply.body.len(), MAX_ANSWER);
    assert!(reply.handed_over);
    let sent = server.next_request().await;
    assert_eq!(sent.header("content-length"), Some("200000"));
    assert_eq!(sent.header("transfer-encoding"), None);
    assert_eq!(sent.body.len(), 200_000);
}

#[tokio::test]
async fn the_shorter_of_two_timeouts_counts() {
    let server = FaultServer::start().await;
    server.reply_with(Served::Stall);
    let http = Http::new(&server.url(), Some(SHORT), []).unwrap();
    let error = http.call(post(10), LONG).await.unwrap_err();
    assert_eq!(error.detail(), "no answer within 300ms");
}

#[test]
fn a_base_urls_own_path_comes_before_the_requests() {
    for (base, url) in [
        ("https://api.example.com", "https://api.example.com/v3/x?limit=1"),
        ("https://api.example.com/", "https://api.example.com/v3/x?limit=1"),
        ("http://proxy:81/mail/", "http://proxy:81/mail/v3/x?limit=1"),
    ] {
        assert_eq!(http(base).url("/v3/x?limit=1").as_str(), url);
    }
    for (base, why) in [
        ("api.example.com", BaseUrlError::NoUrl),
        ("ftp://api.example.com", BaseUrlError::Scheme),
        ("https://api.example.com/?a", BaseUrlError::Extra),
        ("https://user@api.example.com", BaseUrlError::Extra),
    ] {
        assert_eq!(Http::new(base, None, []).unwrap_err(), why, "{base}");
    }
}

#[test]
fn a_client_is_built_where_the_system_trusts_nobody() {
    // A root that is none makes the first try fail, as a system without any does.
    let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = Certificate::from_pem(pem).unwrap();
    let tries = Cell::new(0);
    client(|| {
        tries.set(tries.get() + 1);
        if tries.get() == 1 { settings().tls_certs_only([broken.clone()]) } else { settings() }
    });
    assert_eq!(tries.get(), 2);
}

/// Speaks HTTP/2 from the first octet and resets each stream for this reason.
async fn resetting(reason: Reason) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(reason);
        }
    });
    (address, tasks)
}

/// Speaks HTTP/2 and, once a whole request is there, goes away without having looked at it: the
/// last stream it names is none.
async fn going_away() -> (SocketAddr, JoinSet<()>) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&SETTINGS).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"xxxxxxxxxx") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(&GO_AWAY).await.unwrap();
        while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {}
    });
    (address, tasks)
}

async fn over_http2(address: SocketAddr) -> SendError {
    let mut http = http(&format!("http://{address}"));
    http.client = settings().http2_prior_knowledge().build().unwrap();
    http.call(post(10), LONG).await.unwrap_err()
}

#[tokio::test]
async fn a_stream_that_http2_calls_untouched_is_certainly_not_sent() {
    for (address, _tasks) in [resetting(Reason::REFUSED_STREAM).await, going_away().await] {
        let error = over_http2(address).await;
        assert_eq!(*error.failure(), Failure::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_was_reset_for_another_reason_is_perhaps_sent() {
    let (address, _tasks) = resetting(Reason::INTERNAL_ERROR).await;
    let error = over_http2(address).await;
    assert_eq!(*error.failure(), Failure::InDoubt(Doubt::Strong), "{error}");
}
