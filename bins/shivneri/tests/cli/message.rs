//! One message from flags.

use tokio::net::TcpListener;

use crate::server::{FLAGS, Seen, Server, accepted, busy, code, json, program, stderr, stdout};

#[tokio::test]
async fn a_message_from_flags_is_posted_with_a_key_and_its_id_is_printed() {
    let server = Server::start(|number, _| accepted(number)).await;
    let output = server.run(&FLAGS).await;
    assert_eq!((code(&output), stdout(&output)), (0, "0199-1  queued\n".into()));
    let [request] = server.seen().try_into().unwrap();
    assert_eq!(request.line, "POST /v1/messages");
    assert!(request.key.is_some());
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let expected = serde_json::json!({ "from": "a@example.com", "to": ["b@example.org"],
        "subject": "Hi", "text": "x" });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_api_key_comes_from_the_environment_and_is_never_shown() {
    let server = Server::start(|_, _| json(401, r#"{"title":"An API key is needed"}"#)).await;
    let mut command = program(&format!("http://{}", server.address));
    let output = command.env("SHIVNERI_API_KEY", "sk-canary").args(FLAGS).output().await.unwrap();
    assert_eq!(code(&output), 1);
    assert_eq!(server.seen()[0].authorization.as_deref(), Some("Bearer sk-canary"));
    assert!(stderr(&output).contains("SHIVNERI_API_KEY"));
    assert!(!(stderr(&output) + &stdout(&output)).contains("sk-canary"));
}

#[tokio::test]
async fn a_refusal_is_shown_with_title_detail_and_fields() {
    let body = r#"{"title":"Some fields are not valid","detail":"to[0] is not valid",
        "errors":[{"field":"to[0]","reason":"the address has no @"}]}"#;
    let server = Server::start(move |_, _| json(422, body)).await;
    let output = server.run(&FLAGS).await;
    assert_eq!(code(&output), 1);
    let expected = "error: Some fields are not valid: to[0] is not valid\n  to[0]: the address has \
                    no @\n";
    assert_eq!(stderr(&output), expected);
    assert_eq!(server.seen().len(), 1, "a refused message is not offered again");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_with_the_same_key() {
    let script = |number, _: &Seen| match number {
        1 => busy(429, "0"),
        2 => busy(503, "0"),
        number => accepted(number),
    };
    let server = Server::start(script).await;
    assert_eq!(code(&server.run(&FLAGS).await), 0);
    let keys = server.keys();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[tokio::test]
async fn a_server_that_asks_for_more_patience_than_there_is_ends_it_at_once() {
    let server = Server::start(|_, _| busy(503, "3600")).await;
    let output = server.run(&FLAGS).await;
    assert_eq!(code(&output), 75);
    assert!(stderr(&output).contains("come again in 3600 s"), "{}", stderr(&output));
    let output = server.run(&["providers", "list"]).await;
    assert_eq!(code(&output), 75);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_helps() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for arguments in [&FLAGS[..], &["status"], &["audit", "--json"]] {
        let url = format!("http://{closed}");
        let output = program(&url).args(arguments).output().await.unwrap();
        assert_eq!(code(&output), 69);
        let text = stderr(&output);
        assert!(text.contains(&url) && text.contains("shivneri-server"), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_under_the_same_key() {
    let server = Server::start(|number, _| accepted(number)).await;
    let upstream = server.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Takes the first request to the server, and closes before its answer comes through.
    let proxy = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(upstream).await.unwrap();
        let mut request = vec![0; 64 << 10];
        let mut length = 0;
        while !request[..length].ends_with(b"}") {
            length += client.read(&mut request[length..]).await.unwrap();
        }
        server.write_all(&request[..length]).await.unwrap();
        let mut first = [0; 1];
        server.read_exact(&mut first).await.unwrap();
        drop(client);
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::TcpStream::connect(upstream).await.unwrap();
        // It ends in whichever way the client closes.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    });
    let output = program(&url).args(FLAGS).output().await.unwrap();
    assert_eq!((code(&output), stdout(&output)), (0, "0199-2  queued\n".into()));
    let keys = server.keys();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    proxy.await.unwrap();
}

#[tokio::test]
async fn the_id_is_printed_even_where_the_key_may_not_follow_it() {
    let script = |number, request: &Seen| match request.line.as_str() {
        "POST /v1/messages" => accepted(number),
        _ => json(403, r#"{"title":"The request is not allowed"}"#),
    };
    let server = Server::start(script).await;
    let output = server.run(&[&FLAGS[..], &["--wait"]].concat()).await;
    assert_eq!((code(&output), stdout(&output)), (1, "0199-1  queued\n".into()));
    assert!(stderr(&output).contains("not allowed"), "{}", stderr(&output));
}

#[tokio::test]
async fn wait_follows_a_message_to_its_end() {
    for (end, expected) in [("delivered", 0), ("rejected", 1)] {
        let script = move |number, request: &Seen| match (request.line.as_str(), number) {
            ("POST /v1/messages", _) => accepted(1),
            (_, 2) => json(200, r#"{"id":"0199-1","status":"queued"}"#),
            (_, 3) => json(200, r#"{"id":"0199-1","status":"sending"}"#),
            (_, _) => json(200, &format!(r#"{{"id":"0199-1","status":"{end}"}}"#)),
        };
        let server = Server::start(script).await;
        let output = server.run(&[&FLAGS[..], &["--wait"]].concat()).await;
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("0199-1  {end}\n"));
        assert_eq!(server.seen()[3].line, "GET /v1/messages/0199-1");
    }
}
