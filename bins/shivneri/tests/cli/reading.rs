//! Reading commands and the operator's word.

use axum::{http::StatusCode, response::IntoResponse};

use crate::server::{Seen, Server, code, json, program, stderr, stdout};

#[tokio::test]
async fn read_commands_print_the_apis_json_unchanged() {
    const BODY: &str = "{\"zeta\": 1,  \"data\":[], \"accepted\":0,\"states\":{},\"gap\":0}";
    let server = Server::start(|_, _| json(200, BODY)).await;
    for (arguments, line) in [
        (
            &["messages", "list", "--json", "--status", "queued"][..],
            "GET /v1/messages?status=queued&limit=50",
        ),
        (&["messages", "show", "0199", "--json"], "GET /v1/messages/0199"),
        (&["providers", "list", "--json"], "GET /v1/providers"),
        (&["providers", "mailbox", "a", "--json"], "GET /v1/providers/a/mailbox"),
        (&["agents", "list", "--json"], "GET /v1/agents"),
        (&["audit", "--json"], "GET /v1/audit"),
    ] {
        let output = server.run(arguments).await;
        assert_eq!((code(&output), stdout(&output)), (0, format!("{BODY}\n")), "{arguments:?}");
        assert_eq!(server.seen().last().unwrap().line, line);
    }
}

#[tokio::test]
async fn a_list_follows_the_cursor_up_to_its_limit() {
    let script = |_, request: &Seen| {
        let (page, next) =
            if request.line.contains("cursor=c1") { ("b", "c2") } else { ("a", "c1") };
        let row = format!(r#"{{"id":"{page}","status":"queued"}}"#);
        json(200, &format!(r#"{{"data":[{row},{row}],"next_cursor":"{next}"}}"#))
    };
    let server = Server::start(script).await;
    let output = server.run(&["messages", "list", "--limit", "4"]).await;
    let ids: Vec<_> = stdout(&output).lines().skip(1).map(|line| line[..1].to_owned()).collect();
    assert_eq!(ids, ["a", "a", "b", "b"]);
    let lines: Vec<_> = server.seen().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /v1/messages?limit=4", "GET /v1/messages?limit=2&cursor=c1"]);
    assert!(stderr(&output).contains("there are more"));
}

#[tokio::test]
async fn an_operators_word_goes_to_each_provider_named() {
    let server = Server::start(|_, _| json(200, "{}")).await;
    for word in ["drain", "resume", "disable", "enable"] {
        let output = server.run(&["providers", word, "a", "b"]).await;
        assert_eq!(code(&output), 0);
        let lines: Vec<_> = server.seen().into_iter().map(|request| request.line).collect();
        let expected =
            [format!("POST /v1/providers/a/{word}"), format!("POST /v1/providers/b/{word}")];
        assert_eq!(lines[lines.len() - 2..], expected);
    }
}

#[tokio::test]
async fn a_new_agents_token_is_alone_on_stdout() {
    let script = |_, request: &Seen| match request.line.as_str() {
        "POST /v1/agents" => json(201, r#"{"id":"m-1","provider":"m","token":"sht_x"}"#),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    let server = Server::start(script).await;
    let output = server.run(&["agents", "add", "m-1", "--provider", "m"]).await;
    assert_eq!((code(&output), stdout(&output)), (0, "sht_x\n".into()));
    assert_eq!(server.seen()[0].body, r#"{"id":"m-1","provider":"m"}"#);
    let output = server.run(&["agents", "revoke", "m-1"]).await;
    assert_eq!((code(&output), stdout(&output)), (0, "m-1: revoked\n".into()));
    assert_eq!(server.seen()[1].line, "DELETE /v1/agents/m-1");
}

#[tokio::test]
async fn an_audit_with_a_gap_fails() {
    for (gap, expected) in [(0, 0), (2, 1)] {
        let body = format!(r#"{{"accepted":5,"states":{{"accepted":5}},"purged":0,"gap":{gap}}}"#);
        let server = Server::start(move |_, _| json(200, &body)).await;
        for arguments in [&["audit"][..], &["audit", "--json"]] {
            assert_eq!(code(&server.run(arguments).await), expected);
        }
    }
}

#[tokio::test]
async fn status_says_when_no_mail_is_taken() {
    let script = |_, request: &Seen| match request.line.as_str() {
        "GET /readyz" => {
            json(503, r#"{"accept":"refused","dispatch":"ok","reason":"the queue is full"}"#)
        }
        "GET /v1/providers" => json(200, r#"{"data":[]}"#),
        _ => json(200, r#"{"accepted":0,"states":{},"purged":0,"gap":0}"#),
    };
    let server = Server::start(script).await;
    let output = server.run(&["status"]).await;
    assert_eq!(code(&output), 75);
    assert!(stdout(&output).contains("accepts mail   NO (refused)"), "{}", stdout(&output));
    assert!(stdout(&output).contains("the queue is full"), "{}", stdout(&output));
}

#[tokio::test]
async fn without_arguments_the_usage_is_shown() {
    let output = program("http://127.0.0.1:1").output().await.unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("Usage: shivneri"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let rows = r#"{"id":"a","status":"queued"},"#.repeat(20_000);
    let body = format!("{{\"data\":[{}],\"next_cursor\":null}}", rows.trim_end_matches(','));
    let server = Server::start(move |_, _| json(200, &body)).await;
    let mut command = program(&format!("http://{}", server.address));
    command.args(["messages", "list", "--json"]).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}
