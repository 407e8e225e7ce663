//! The fault server does on the wire what its replies say.

use std::{io, time::Duration};

use shivneri_testkit::{Answer, FaultServer, Reply};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &[u8] = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

async fn connect(server: &FaultServer) -> TcpStream {
    TcpStream::connect(server.address()).await.expect("the server listens")
}

/// All that comes until the server closes, or the reset it ends with.
async fn rest(stream: &mut TcpStream) -> Result<String, io::ErrorKind> {
    let mut text = Vec::new();
    let read =
        timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await.expect("it ends");
    read.map(|_| String::from_utf8(text).expect("answers are text")).map_err(|error| error.kind())
}

async fn exact(stream: &mut TcpStream, expected: &str) {
    let mut text = vec![0; expected.len()];
    stream.read_exact(&mut text).await.expect("so much is answered");
    assert_eq!(String::from_utf8(text).expect("answers are text"), expected);
}

async fn sent(server: &FaultServer, request: &[u8]) -> Result<String, io::ErrorKind> {
    let mut stream = connect(server).await;
    stream.write_all(request).await.expect("the server reads");
    rest(&mut stream).await
}

#[tokio::test]
async fn replies_come_in_order_and_the_last_one_stays() {
    let server = FaultServer::start().await;
    server.script([Reply::empty(201), Reply::text(202, "b")]);
    let mut stream = connect(&server).await;
    stream.write_all(&[GET, POST, GET].concat()).await.unwrap();
    exact(&mut stream, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    let plain = "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n\r\nb";
    exact(&mut stream, &format!("HTTP/1.1 202 Accepted\r\n{plain}")).await;
    exact(&mut stream, &format!("HTTP/1.1 202 Accepted\r\n{plain}")).await;
    server.reply_with(Reply::empty(204));
    stream.write_all(GET).await.unwrap();
    exact(&mut stream, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!((server.requests().len(), server.connections()), (4, 1));
}

#[tokio::test]
async fn requests_are_recorded_and_given_out_once() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::empty(200));
    let mut stream = connect(&server).await;
    stream.write_all(&[GET, POST].concat()).await.unwrap();
    let first = server.next_request().await;
    assert_eq!((first.method.as_str(), first.path.as_str()), ("GET", "/a?b=c"));
    assert_eq!((first.path_only(), first.header("HOST")), ("/a", Some("x")));
    let second = server.next_request().await;
    assert_eq!((second.path.as_str(), second.text().as_str()), ("/p", "hello"));
    assert!(timeout(Duration::ZERO, server.next_request()).await.is_err());
    assert_eq!(server.requests(), [first, second]);
}

#[tokio::test]
async fn without_a_script_it_says_so() {
    let server = FaultServer::start().await;
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    exact(&mut stream, "HTTP/1.1 501 Not Implemented\r\n").await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_told_to_continue() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::empty(200).with_header("Connection", "close"));
    let mut stream = connect(&server).await;
    let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head).await.unwrap();
    exact(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"ok").await.unwrap();
    assert!(rest(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(server.next_request().await.text(), "ok");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let reset = Err(io::ErrorKind::ConnectionReset);
    for (reply, ends) in [
        (Reply::ResetBeforeBody, &reset),
        (Reply::ResetInBody, &reset),
        (Reply::ResetAfterBody, &reset),
        (Reply::CloseAfterBody, &Ok(String::new())),
    ] {
        let server = FaultServer::start().await;
        server.reply_with(reply.clone());
        assert_eq!(&sent(&server, POST).await, ends, "{reply:?}");
        assert_eq!((server.requests().len(), server.connections()), (1, 1), "{reply:?}");
    }
}

#[tokio::test]
async fn a_reset_on_connect_comes_before_any_request() {
    let server = FaultServer::start().await;
    server.script([Reply::ResetOnConnect, Reply::CloseAfterBody]);
    let mut stream = connect(&server).await;
    assert_eq!(rest(&mut stream).await, Err(io::ErrorKind::ConnectionReset));
    assert_eq!((server.requests().len(), server.connections()), (0, 1));
    assert_eq!(sent(&server, POST).await, Ok(String::new()));
}

#[tokio::test]
async fn a_reset_in_the_body_leaves_bytes_with_the_client() {
    for reply in [Reply::ResetInBody, Reply::ResetBeforeBody, Reply::ResetOnConnect] {
        let server = FaultServer::start().await;
        server.reply_with(reply.clone());
        let mut stream = connect(&server).await;
        let length = 6 << 20;
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
        let body = vec![0; length];
        let written = match stream.write_all(head.as_bytes()).await {
            Ok(()) => stream.write_all(&body).await,
            failed @ Err(_) => failed,
        };
        assert!(written.is_err(), "{reply:?}");
        let read: usize = server.requests().iter().map(|request| request.body.len()).sum();
        assert!(read < length / 2, "{reply:?}: {read}");
        assert_eq!(read > 0, reply == Reply::ResetInBody, "{reply:?}: {read}");
    }
}

#[tokio::test]
async fn an_answer_before_the_body_arrives_while_the_body_is_still_to_come() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::AnswerBeforeBody(Answer::new(413, "large")));
    let mut stream = connect(&server).await;
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.unwrap().ends_with("\r\n\r\nlarge"));
    stream.write_all(b"hello").await.unwrap();
    drop(stream);
    server.all_closed().await;
    assert_eq!(server.requests()[0].text(), "");
}

#[tokio::test]
async fn half_an_answer_announces_more_than_it_gives() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::CloseInAnswer);
    let answer = sent(&server, POST).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Content-Length: 100"));
    assert_eq!(body, r#"{"id":"#);
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_goes() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::Stall);
    let mut stream = connect(&server).await;
    stream.write_all(POST).await.unwrap();
    server.next_request().await;
    assert_eq!((server.answered_bytes(), server.open_connections()), (0, 1));
    drop(stream);
    server.all_closed().await;
    assert_eq!(server.open_connections(), 0);
}

#[tokio::test]
async fn a_dropped_server_ends_its_connections() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::Stall);
    let mut stream = connect(&server).await;
    stream.write_all(POST).await.unwrap();
    server.next_request().await;
    drop(server);
    assert_eq!(rest(&mut stream).await, Ok(String::new()));
}

#[tokio::test]
async fn a_trickle_pauses_before_each_byte() {
    let server = FaultServer::start().await;
    let answer = Answer::new(200, "x");
    let every = Duration::from_millis(2);
    server.reply_with(Reply::Trickle { answer, every });
    let mut stream = connect(&server).await;
    let begun = Instant::now();
    stream.write_all(POST).await.unwrap();
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    exact(&mut stream, whole).await;
    assert!(begun.elapsed() >= every * whole.len() as u32);
    assert_eq!(server.answered_bytes(), whole.len() as u64);
}

#[tokio::test]
async fn a_huge_answer_has_the_bytes_it_promises() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::Huge { status: 200, bytes: 150_000 });
    let request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = sent(&server, request).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked"));
    assert_eq!(body.matches('x').count(), 150_000);
    assert!(body.ends_with("\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_warning() {
    let server = FaultServer::start().await;
    server.reply_with(Reply::CloseIdle(Answer::new(200, "ok")));
    let answer = sent(&server, POST).await.unwrap();
    assert!(answer.ends_with("ok") && !answer.contains("close"));
    server.all_closed().await;
}
