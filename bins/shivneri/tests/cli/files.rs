//! Runs over files and stdin.

use axum::http::HeaderValue;

use crate::server::{Seen, Server, accepted, busy, code, file, json, program, stderr, stdout};

#[tokio::test]
async fn a_file_run_twice_carries_the_same_keys_and_each_line_its_own() {
    let server = Server::start(|number, _| accepted(number)).await;
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..40).map(|n| format!("{{\"subject\":\"{n}\"}}\n")).collect();
    let path = file(folder.path(), "mails.jsonl", &lines);
    let arguments = ["send", "--file", path.as_str()];
    let first = server.run(&arguments).await;
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stdout(&first).starts_with("accepted  40\nrefused   0\n"), "{}", stdout(&first));
    let keys = server.keys();
    server.run(&arguments).await;
    let mut both = server.keys();
    both.dedup();
    assert_eq!(both, keys);
    assert_eq!(keys.len(), 40);
    server.run(&[&arguments[..], &["--no-idempotency"]].concat()).await;
    let mut all = server.keys();
    all.dedup();
    assert_eq!(all.len(), 80, "unless it is told not to");
}

#[tokio::test]
async fn what_an_earlier_run_brought_is_counted_apart() {
    let script = |number, _: &Seen| {
        let mut response = accepted(number);
        if number <= 2 {
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    };
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.jsonl", &"{}\n".repeat(5));
    let output = server.run(&["send", "--file", &path]).await;
    assert_eq!(code(&output), 0);
    let expected = "accepted           5\n  before this run  2\nrefused            0\n";
    assert!(stdout(&output).starts_with(expected), "{}", stdout(&output));
}

#[tokio::test]
async fn refused_lines_are_named_and_the_others_are_sent() {
    let script = |number, request: &Seen| {
        if request.body.contains("bad") {
            json(422, r#"{"title":"Invalid","errors":[{"field":"to","reason":"is required"}]}"#)
        } else {
            accepted(number)
        }
    };
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.jsonl", "{\"a\":1}\n{\"a\":\"bad\"}\nnot json\n\n{\"a\":4}");
    let output = server.run(&["send", "--file", &path, "--concurrency", "1"]).await;
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    assert!(text.starts_with("accepted  2\nrefused   2\n"), "{text}");
    assert!(text.contains("m.jsonl:2: Invalid\n  to: is required\n"), "{text}");
    assert!(text.contains("m.jsonl:3: can't be sent: it is not JSON"), "{text}");
    assert_eq!(stderr(&output), "", "no bar away from a terminal");
}

#[tokio::test]
async fn json_lines_come_from_stdin_and_mail_files_are_taken_apart() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start(|number, _| accepted(number)).await;
    let folder = tempfile::tempdir().unwrap();
    let eml = file(
        folder.path(),
        "a.eml",
        "Received: from x\r\nFrom: a@example.com\r\nTo: b@example.org\r\nSubject: Hi\r\n\r\nHello\r\n",
    );
    let mut command = program(&format!("http://{}", server.address));
    command.args(["send", "--verbose", "--lane", "bulk", "--file", "-", &eml]);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"subject\":\"from stdin\",\"lane\":\"critical\"}\n").await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut bodies: Vec<_> = server.seen().into_iter().map(|request| request.body).collect();
    bodies.sort();
    let bodies: Vec<serde_json::Value> =
        bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let mail = serde_json::json!({ "from": { "email": "a@example.com" }, "lane": "bulk",
        "subject": "Hi", "text": "Hello\r\n", "to": [{ "email": "b@example.org" }] });
    let line = serde_json::json!({ "lane": "critical", "subject": "from stdin" });
    assert_eq!(bodies, [mail, line]);
    assert!(stderr(&output).contains("a.eml: left behind: header Received"), "{}", stderr(&output));
    assert!(stderr(&output).contains("stdin:1: queued 0199-"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_run_stops_where_the_server_asks_for_too_much_patience_and_says_how_to_go_on() {
    let script = |number, _: &Seen| if number <= 3 { accepted(number) } else { busy(503, "3600") };
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.jsonl", &"{}\n".repeat(100));
    let output = server.run(&["send", "--file", &path, "--concurrency", "2"]).await;
    assert_eq!(code(&output), 75);
    assert!(stdout(&output).starts_with("accepted   3\n"), "{}", stdout(&output));
    assert!(stderr(&output).contains("the same command goes on from here"), "{}", stderr(&output));
    assert!(server.seen().len() <= 5, "{} requests", server.seen().len());
}

#[tokio::test]
async fn a_stopped_run_does_not_wait_for_stdin_to_end() {
    let server = Server::start(|_, _| json(401, "{}")).await;
    let mut command = program(&format!("http://{}", server.address));
    command.args(["send", "--file", "-"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"{}\n").await.unwrap();
    let status = child.wait().await.unwrap();
    drop(stdin);
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn files_that_can_not_be_sent_are_refused_before_anything_is() {
    let server = Server::start(|number, _| accepted(number)).await;
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.jsonl", "{}\n");
    for (name, word) in [("x.csv", "csv files"), ("x.mbox", "mbox files")] {
        let output = server.run(&["send", "--file", &good, name]).await;
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(word) && stderr(&output).contains("*.jsonl"));
    }
    let output = server.run(&["send", "--file", &good, "/nowhere/x.jsonl"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("can't read /nowhere/x.jsonl"), "{}", stderr(&output));
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_wait_that_is_refused_still_ends_with_the_summary() {
    let script = |number, request: &Seen| match request.line.as_str() {
        "POST /v1/messages" => accepted(number),
        _ => json(403, r#"{"title":"The request is not allowed"}"#),
    };
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.jsonl", &"{}\n".repeat(50));
    let output = server.run(&["send", "--file", &path, "--wait", "--concurrency", "4"]).await;
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).starts_with("accepted         50\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("not final yet  50"), "{}", stdout(&output));
    assert!(stderr(&output).contains("not allowed"), "{}", stderr(&output));
    assert!(server.seen().len() <= 50 + 8, "a refusal is not asked for fifty times");
}

#[tokio::test]
async fn wait_gives_up_when_its_time_is_over() {
    let script = |number, request: &Seen| match request.line.as_str() {
        "POST /v1/messages" => accepted(number),
        _ => json(200, r#"{"status":"scheduled"}"#),
    };
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "m.jsonl", "{}\n{}\n");
    let output = server.run(&["send", "--file", &path, "--wait", "--wait-timeout", "200ms"]).await;
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("not final yet  2"), "{}", stdout(&output));
}
