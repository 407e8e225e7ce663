//! Messages from the request to what is shown of them.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::{Value, json};
use shivneri_core::{Answer, Failure, SendError, Transition};
use shivneri_providers::sandbox::Fault;

use crate::rig::{JSON, Rig, message, with};

fn sorted_keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn an_accepted_message_is_answered_with_its_id_status_and_place() {
    let rig = Rig::new().await;
    let got = rig.post("/v1/messages", message()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    let body = got.json();
    assert_eq!(sorted_keys(&body), ["id", "status"]);
    assert_eq!(body["status"], "queued");
    let place = format!("/v1/messages/{}", body["id"].as_str().unwrap());
    assert_eq!(got.header("location"), place);
    assert_eq!(rig.get(&place).await.json()["id"], body["id"]);
}

#[tokio::test]
async fn every_field_comes_back_but_an_attachments_content() {
    let directory = tempfile::tempdir().unwrap();
    let options = shivneri_spool::Options { min_free_disk: 0, ..Default::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    let whole = json!({
        "from": {"email": "asha@example.com", "name": "Rao, Asha"},
        "to": ["B <b@example.org>", {"email": "c@example.org"}],
        "cc": ["d@example.org"],
        "bcc": ["e@example.org"],
        "reply_to": ["help@example.com"],
        "subject": "Your invoice",
        "text": "It is attached.",
        "html": "<p>It is attached.</p>",
        "headers": {"X-Order": "42"},
        "attachments": [
            {"filename": "a.pdf", "content_type": "application/pdf", "content": "JVBERg==",
             "content_id": null},
            {"filename": "l.png", "content_type": "image/png", "content": "aGk", "content_id": "logo"},
        ],
        "tags": ["welcome"],
        "metadata": {"order": "42"},
        "lane": "bulk",
        "send_at": "2100-01-31T09:00:00+05:30",
        "expires_at": "2100-02-01T00:00:00Z",
        "on_doubt": "hold",
        "providers": ["ses", "sendgrid-eu"],
    });
    let id = rig.accepted(&whole).await;
    let shown = rig.get(&format!("/v1/messages/{id}")).await.json();
    let expected = json!({
        "status": "scheduled",
        "in_doubt": false,
        "possible_duplicate": false,
        "door": "http",
        "owner": "anonymous",
        "from": "\"Rao, Asha\" <asha@example.com>",
        "to": ["B <b@example.org>", "c@example.org"],
        "cc": ["d@example.org"],
        "bcc": ["e@example.org"],
        "reply_to": ["help@example.com"],
        "subject": "Your invoice",
        "text": "It is attached.",
        "html": "<p>It is attached.</p>",
        "headers": {"X-Order": "42"},
        "attachments": [
            {"filename": "a.pdf", "content_type": "application/pdf", "size": 4, "content_id": null},
            {"filename": "l.png", "content_type": "image/png", "size": 2, "content_id": "logo"},
        ],
        "tags": ["welcome"],
        "metadata": {"order": "42"},
        "lane": "bulk",
        "send_at": "2100-01-31T03:30:00.000Z",
        "expires_at": "2100-02-01T00:00:00.000Z",
        "on_doubt": "hold",
        "providers": ["ses", "sendgrid-eu"],
        "attempts": [],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(shown[field], *value, "{field}");
    }
    let mut addresses: Vec<_> = shown["recipients"].as_array().unwrap().iter().collect();
    addresses.sort_by_key(|one| one["address"].as_str());
    assert_eq!(addresses.len(), 4);
    assert_eq!(sorted_keys(addresses[0]), ["address", "delivery", "status"]);
    assert_eq!(addresses[0]["address"], "b@example.org");
    assert_eq!(addresses[0]["status"], "scheduled");
    assert_eq!(shown["events"][0]["status"], "scheduled");
    rig.spool.close().await;
}

#[tokio::test]
async fn null_means_the_default_everywhere() {
    let rig = Rig::new().await;
    let mut nulls = message();
    for field in [
        "cc",
        "bcc",
        "reply_to",
        "html",
        "headers",
        "attachments",
        "tags",
        "metadata",
        "lane",
        "send_at",
        "expires_at",
        "on_doubt",
        "providers",
    ] {
        nulls[field] = Value::Null;
    }
    let id = rig.accepted(&nulls).await;
    let shown = rig.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(shown["lane"], "transactional");
    assert_eq!(shown["on_doubt"], "resend");
    assert_eq!(shown["providers"], Value::Null);
    assert_eq!(shown["cc"], json!([]));
    assert_eq!(shown["status"], "queued");
}

#[tokio::test]
async fn an_attempt_is_shown_with_its_reason_answer_and_times() {
    let rig = Rig::new().await;
    let id = rig.accepted(&message()).await;
    let later = SystemTime::now() + Duration::from_secs(60);
    let answer = Answer::new(503, "come back later");
    let busy = SendError::new(Failure::Unavailable, "it takes nothing").with_answer(answer);
    rig.fail(busy, Transition::Retry { at: later, reason: "nobody took it".to_owned() }).await;
    let shown = rig.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(shown["status"], "queued");
    assert_eq!(sorted_keys(&shown["waiting"]), ["reason", "until"]);
    assert_eq!(shown["waiting"]["reason"], "nobody took it");
    let mut attempt = shown["attempts"][0].clone();
    for time in ["started_at", "ended_at"] {
        let text = attempt[time].take();
        let text = text.as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z') && text.contains('.'), "{text}");
    }
    assert!(attempt["id"].take().is_string());
    let expected = json!({
        "id": null,
        "delivery": shown["recipients"][0]["delivery"],
        "number": 1,
        "provider": "sandbox-a",
        "agent": null,
        "reason": "the only one",
        "possible_duplicate": false,
        "started_at": null,
        "ended_at": null,
        "outcome": "unavailable",
        "detail": "it takes nothing",
        "provider_message_id": null,
        "answer": {"status": 503, "text": "come back later"},
    });
    assert_eq!(attempt, expected);
}

#[tokio::test]
async fn doubt_is_shown() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    let id = rig.accepted(&message()).await;
    sandbox.mailbox().set_fault(Fault::InDoubt);
    rig.carry(&sandbox, Transition::InDoubt { reason: "on_doubt is hold".to_owned() }).await;
    let shown = rig.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(shown["status"], "in_doubt");
    assert_eq!(shown["in_doubt"], true);
    assert_eq!(shown["attempts"][0]["outcome"], "in_doubt");
    let listed = rig.get("/v1/messages?status=in_doubt&provider=sandbox-a").await.json();
    assert_eq!(listed["data"][0]["id"], id);
    assert_eq!(listed["data"][0]["in_doubt"], true);
}

#[tokio::test]
async fn the_mailbox_shows_what_the_sandbox_took() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    let fields = json!({
        "headers": {"X-Order": "42"},
        "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content": "aGk="}],
    });
    let first = rig.accepted(&with(fields)).await;
    rig.carry(&sandbox, Transition::Accepted).await;
    let second = rig.accepted(&with(json!({"subject": "second"}))).await;
    rig.carry(&sandbox, Transition::Accepted).await;
    let body = rig.get("/v1/providers/sandbox-a/mailbox").await.json();
    let letters = body["data"].as_array().unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["message_id"], second, "newest first");
    assert_eq!(letters[1]["message_id"], first);
    for field in [
        "message_id",
        "provider_message_id",
        "received_at",
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "text",
        "html",
        "headers",
        "attachments",
    ] {
        assert!(letters[1].get(field).is_some(), "{field}");
    }
    assert_eq!(letters[1]["from"], "Asha <asha@example.com>");
    assert_eq!(letters[1]["headers"], json!({"X-Order": "42"}));
    assert_eq!(letters[1]["attachments"][0]["content"], "aGk=");
    let shown = rig.get(&format!("/v1/messages/{first}")).await.json();
    assert_eq!(shown["status"], "accepted");
    assert_eq!(shown["attempts"][0]["provider_message_id"], letters[1]["provider_message_id"]);
    let one = rig.get("/v1/providers/sandbox-a/mailbox?limit=1").await.json();
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_parameter_and_walked_by_its_cursor() {
    let rig = Rig::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let fields = json!({
            "to": [format!("r{n}@example.org")],
            "subject": format!("Mail {n}"),
            "tags": [if n % 2 == 0 { "even" } else { "odd" }],
        });
        ids.push(rig.accepted(&with(fields)).await);
    }
    ids.reverse();
    let found = async |query: &str| {
        let got = rig.get(&format!("/v1/messages?{query}")).await;
        assert_eq!(got.status, StatusCode::OK, "{query}: {}", got.text);
        let ids: Vec<_> = got.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
        ids
    };
    assert_eq!(found("").await, ids);
    assert_eq!(found("tag=odd").await, [ids[1].clone(), ids[3].clone()]);
    assert_eq!(found("recipient=R2%40example.org").await, [ids[2].clone()]);
    assert_eq!(found("q=mail%204").await, [ids[0].clone()]);
    assert_eq!(found("status=queued&tag=even&recipient=").await.len(), 3);
    assert!(found("status=accepted").await.is_empty());
    assert!(found("provider=nobody").await.is_empty());
    assert!(found("until=2001-01-01T00:00:00Z").await.is_empty());
    assert_eq!(found("since=2001-01-01T00:00:00Z").await.len(), 5);
    let mut walked = Vec::new();
    let mut path = "/v1/messages?limit=2".to_owned();
    loop {
        let page = rig.get(&path).await.json();
        assert_eq!(sorted_keys(&page), ["data", "next_cursor"]);
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= 2);
        walked.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/messages?limit=2&cursor={cursor}");
    }
    assert_eq!(walked, ids);
}

#[tokio::test]
async fn a_message_of_the_full_size_is_taken_whole() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    // 24 MiB of attachments; base64 of three zero bytes is AAAA.
    let content = "AAAA".repeat(8 << 20);
    let body = with(json!({"attachments": [{"filename": "z", "content": content}]}));
    let got = rig.call("POST", "/v1/messages", &[JSON], body.to_string()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text);
    rig.carry(&sandbox, Transition::Accepted).await;
    let taken = sandbox.mailbox().list(1).pop().unwrap();
    let file = &taken.email.attachments()[0];
    assert_eq!(file.content().len(), 24 << 20);
    assert_eq!(file.content_type(), "application/octet-stream");
}

#[tokio::test]
async fn folded_base64_is_taken() {
    let rig = Rig::new().await;
    let file = json!({"filename": "a", "content": "aGVs\r\nbG8=\n"});
    let id = rig.accepted(&with(json!({"attachments": [file]}))).await;
    let shown = rig.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(shown["attachments"][0]["size"], 5);
}
