//! What is refused, how, and with which fields named.

use http::StatusCode;
use serde_json::json;
use shivneri_spool::{Memory, Options};

use crate::rig::{JSON, Rig, message, with};

#[tokio::test]
async fn every_bad_field_of_a_message_is_named() {
    let rig = Rig::new().await;
    let file =
        json!({"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERg=="});
    let with_file = |field: &str, value: serde_json::Value| {
        let mut file = file.clone();
        file[field] = value;
        with(json!({"attachments": [file]}))
    };
    for (body, fields) in [
        (with(json!({"subjct": "typo"})), vec!["subjct"]),
        (with(json!({"template_id": null})), vec!["template_id"]),
        (with(json!({"to": "b@example.org"})), vec!["to"]),
        (with(json!({"to": ["b@example.org", 5]})), vec!["to[1]"]),
        (with(json!({"to": [null]})), vec!["to[0]"]),
        (with(json!({"to": ["x"], "from": "y"})), vec!["from", "to[0]"]),
        (with(json!({"to": [{"email": "b@example.org", "nme": "B"}]})), vec!["to[0].nme"]),
        (with(json!({"to": []})), vec!["to"]),
        (with(json!({"cc": vec!["c@example.org"; 50]})), vec!["to"]),
        (with(json!({"from": null})), vec!["from"]),
        (with(json!({"text": null})), vec!["text"]),
        (with(json!({"subject": ["a"]})), vec!["subject"]),
        (with(json!({"subject": "a\r\nBcc: x@example.org"})), vec!["subject"]),
        (with(json!({"headers": {"Bcc": "x@example.org"}})), vec!["headers.Bcc"]),
        (with(json!({"headers": {"Content-Type": "a/b"}})), vec!["headers.Content-Type"]),
        (with(json!({"headers": {"X-A": 5}})), vec!["headers.X-A"]),
        (with(json!({"headers": {"X-A": "1", "x-a": "2"}})), vec!["headers.x-a"]),
        (with(json!({"metadata": {"a": {"b": "c"}}})), vec!["metadata.a"]),
        (with(json!({"tags": [""]})), vec!["tags[0]"]),
        (with(json!({"lane": "urgent"})), vec!["lane"]),
        (with(json!({"lane": "no lane"})), vec!["lane"]),
        (with(json!({"lane": "urgent", "to": ["x"]})), vec!["to[0]", "lane"]),
        (with(json!({"send_at": "tomorrow"})), vec!["send_at"]),
        (with(json!({"send_at": 1700000000})), vec!["send_at"]),
        (with(json!({"expires_at": "2001-01-01T00:00:00Z"})), vec!["expires_at"]),
        (with(json!({"on_doubt": "maybe"})), vec!["on_doubt"]),
        (with(json!({"providers": []})), vec!["providers"]),
        (with(json!({"providers": ["a b"]})), vec!["providers[0]"]),
        (with_file("content", json!("not base64!")), vec!["attachments[0].content"]),
        (with_file("content", json!(null)), vec!["attachments[0].content"]),
        (with_file("content_type", json!("pdf")), vec!["attachments[0].content_type"]),
        (with_file("filename", json!("")), vec!["attachments[0].filename"]),
        (with_file("path", json!("/etc")), vec!["attachments[0].path"]),
        (json!([]), vec!["body"]),
        (json!("x"), vec!["body"]),
        (json!({}), vec!["from", "to", "text"]),
    ] {
        let got = rig.post("/v1/messages", &body).await;
        let expected = fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(got.problem(), (422, "invalid_field".to_owned(), expected), "{body}");
    }
    assert_eq!(rig.get("/v1/audit").await.json()["accepted"], 0);
}

#[tokio::test]
async fn a_header_or_field_given_twice_is_refused() {
    let rig = Rig::new().await;
    for body in [
        r#"{"from":"a@example.com","to":["b@example.org"],"text":"x","headers":{"X-A":"1","X-A":"2"}}"#,
        r#"{"from":"a@example.com","to":["b@example.org"],"text":"x","text":"y"}"#,
    ] {
        let got = rig.post("/v1/messages", body).await;
        assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", got.text);
        assert!(got.text.contains("twice") || got.text.contains("duplicate"), "{}", got.text);
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_its_line_and_column() {
    let rig = Rig::new().await;
    for body in ["", "{", "{\"from\": \"a@b\",\n \"to\": [}", "{} x", "{\"text\": \"\u{1}\"}", "hi"]
    {
        let got = rig.post("/v1/messages", body).await;
        assert_eq!(got.problem(), (400, "not_json".to_owned(), vec![]), "{body}");
        let detail = got.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("line") && detail.contains("column"), "{detail}");
    }
    let got = rig.post("/v1/messages", "{\n\"a\"").await;
    assert!(got.text.contains("line 2 column 3"), "{}", got.text);
}

#[tokio::test]
async fn another_media_type_is_refused() {
    let rig = Rig::new().await;
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let headers = [("content-type", kind)];
        let got = rig.call("POST", "/v1/messages", &headers, message().to_string()).await;
        assert_eq!(got.problem(), (415, "unsupported_media_type".to_owned(), vec![]), "{kind}");
    }
    let headers = [("content-type", "Application/JSON; charset=utf-8")];
    let got = rig.call("POST", "/v1/messages", &headers, message().to_string()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let rig = Rig::with(Memory::new(), Vec::new(), 1000).await;
    let long = with(json!({"text": "x".repeat(1000)})).to_string();
    let got = rig.call("POST", "/v1/messages", &[JSON], long).await;
    assert_eq!(got.problem(), (413, "body_too_large".to_owned(), vec![]));
    assert_eq!(rig.post("/v1/messages", message()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn unknown_paths_ids_and_methods_are_problems_too() {
    let rig = Rig::new().await;
    rig.sandbox("sandbox-a");
    for (method, path, code) in [
        ("GET", "/v1/nothing", "not_found"),
        ("GET", "/", "not_found"),
        ("GET", "/v1/messages/", "not_found"),
        ("POST", "/v1/route", "not_found"),
        ("POST", "/v1/messages/batch", "not_found"),
        ("DELETE", "/v1/messages/0190f5fe-7c00-7a00-8000-000000000000", "not_found"),
        ("POST", "/v1/messages/0190f5fe-7c00-7a00-8000-000000000000/cancel", "unknown_message"),
        ("POST", "/v1/messages/0190f5fe-7c00-7a00-8000-000000000000/requeue", "unknown_message"),
        ("POST", "/v1/requeue", "not_found"),
        ("DELETE", "/v1/providers/sandbox-a", "not_found"),
        ("POST", "/v1/providers/sandbox-a/drill", "not_found"),
        ("GET", "/v1/events", "not_found"),
        ("POST", "/v1/webhooks/sandbox-a", "not_found"),
        ("GET", "/v1/endpoints", "not_found"),
        ("GET", "/v1/keys", "not_found"),
        ("POST", "/v3/mail/send", "not_found"),
        ("GET", "/openapi.json", "not_found"),
        ("GET", "/v1/suppressions", "not_found"),
        ("GET", "/v1/messages/not-an-id", "unknown_message"),
        ("GET", "/v1/messages/0190f5fe-7c00-7a00-8000-000000000000", "unknown_message"),
        ("GET", "/v1/providers/nobody/mailbox", "unknown_provider"),
        ("GET", "/v1/providers/no%20body/mailbox", "unknown_provider"),
        ("POST", "/v1/providers/nobody/drain", "unknown_provider"),
        ("DELETE", "/v1/agents/nobody", "unknown_agent"),
        ("GET", "/v1/messages/%ff", "not_found"),
        ("POST", "/v1/providers/%ff/drain", "not_found"),
    ] {
        let got = rig.call(method, path, &[], "").await;
        assert_eq!(got.problem(), (404, code.to_owned(), vec![]), "{method} {path}");
    }
    for (method, path, allowed) in [
        ("DELETE", "/v1/messages", "GET,HEAD,POST"),
        ("PUT", "/v1/messages", "GET,HEAD,POST"),
        ("POST", "/v1/audit", "GET,HEAD"),
        ("GET", "/v1/providers/sandbox-a/drain", "POST"),
        ("PATCH", "/v1/agents/a", "DELETE"),
        ("POST", "/livez", "GET,HEAD"),
    ] {
        let got = rig.call(method, path, &[], "").await;
        let problem = (405, "method_not_allowed".to_owned(), vec![]);
        assert_eq!(got.problem(), problem, "{method} {path}");
        let mut methods: Vec<_> = got.header("allow").split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn every_bad_parameter_of_a_list_is_named() {
    let rig = Rig::new().await;
    for (query, fields) in [
        ("status=sent", vec!["status"]),
        ("limit=0", vec!["limit"]),
        ("limit=1001", vec!["limit"]),
        ("limit=many&since=yesterday", vec!["limit", "since"]),
        ("provider=a%20b", vec!["provider"]),
        ("cursor=x", vec!["cursor"]),
        ("page=2", vec!["page"]),
        ("page=", vec!["page"]),
        ("tag=a&tag=b", vec!["tag"]),
    ] {
        let got = rig.get(&format!("/v1/messages?{query}")).await;
        let expected = fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(got.problem(), (422, "invalid_field".to_owned(), expected), "{query}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_for_a_while_and_goes_on_showing() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_messages: 1, min_free_disk: 0, ..Options::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    let id = rig.accepted(&message()).await;
    let got = rig.post("/v1/messages", message()).await;
    assert_eq!(got.problem(), (503, "unavailable".to_owned(), vec![]));
    assert!(got.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(rig.get(&format!("/v1/messages/{id}")).await.status, StatusCode::OK);
    rig.spool.close().await;
}

#[tokio::test]
async fn a_closed_queue_refuses() {
    let rig = Rig::new().await;
    rig.spool.close().await;
    let got = rig.post("/v1/messages", message()).await;
    assert_eq!(got.problem(), (503, "unavailable".to_owned(), vec![]));
    assert!(!got.header("retry-after").is_empty());
}
