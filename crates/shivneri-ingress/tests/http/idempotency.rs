//! One key, one message.

use std::collections::HashSet;

use http::StatusCode;
use serde_json::json;
use shivneri_core::Attempt;
use shivneri_ingress::{ConfiguredKey, Scope};
use shivneri_spool::{Memory, Options};

use crate::rig::{JSON, Rig, message, with};

async fn post(rig: &Rig, key: &str, body: &serde_json::Value) -> crate::rig::Got {
    let headers = [JSON, ("idempotency-key", key)];
    rig.call("POST", "/v1/messages", &headers, body.to_string()).await
}

#[tokio::test]
async fn the_same_key_and_body_gives_the_first_answer_again() {
    let rig = Rig::new().await;
    let scheduled = with(json!({"send_at": "2100-01-01T00:00:00Z"}));
    let first = post(&rig, "order-42", &scheduled).await;
    let again = post(&rig, "order-42", &scheduled).await;
    assert_eq!((first.status, again.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.text, again.text);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("idempotency-replayed"), "");
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(rig.get("/v1/audit").await.json()["accepted"], 1);
}

#[tokio::test]
async fn the_first_answer_is_given_again_whatever_became_of_the_message() {
    let rig = Rig::new().await;
    let first = post(&rig, "k", &message()).await;
    let now = std::time::SystemTime::now();
    let delivery = rig.spool.lease(1, now).await.unwrap().pop().unwrap();
    let attempt = Attempt {
        delivery: delivery.id,
        epoch: delivery.epoch,
        ..Attempt::single(&delivery.email, "sandbox-a".parse().unwrap())
    };
    rig.spool.begin(&attempt).await.unwrap();
    assert_eq!(post(&rig, "k", &message()).await.text, first.text);
}

#[tokio::test]
async fn another_body_with_the_same_key_is_refused() {
    let rig = Rig::new().await;
    post(&rig, "k", &message()).await;
    let got = post(&rig, "k", &with(json!({"subject": "another"}))).await;
    assert_eq!(got.problem(), (422, "idempotency_key_reused".to_owned(), vec![]));
    // Byte by byte: the same fields in another order are another body.
    let reordered = r#"{"text":"hi","from":"Asha <asha@example.com>","to":["b@example.org"],"subject":"hello"}"#;
    let headers = [JSON, ("idempotency-key", "k")];
    let got = rig.call("POST", "/v1/messages", &headers, reordered).await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let rig = Rig::new().await;
    let refused = post(&rig, "k", &with(json!({"to": []}))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(&rig, "k", &message()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_key_that_is_not_visible_ascii_is_refused() {
    let rig = Rig::new().await;
    for key in ["", " ", "a b", "\u{fc}", &"x".repeat(257)] {
        let (status, code, fields) = post(&rig, key, &message()).await.problem();
        assert_eq!((status, code.as_str()), (422, "invalid_field"), "{key:?}");
        assert_eq!(fields, ["Idempotency-Key"]);
    }
    let twice = [JSON, ("idempotency-key", "a"), ("idempotency-key", "b")];
    let got = rig.call("POST", "/v1/messages", &twice, message().to_string()).await;
    assert_eq!(got.problem().2, ["Idempotency-Key"]);
    assert_eq!(post(&rig, &"x".repeat(256), &message()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn each_api_key_has_idempotency_keys_of_its_own() {
    let key = |name: &str, secret: &str| ConfiguredKey::new(name, secret, &[Scope::Send]).unwrap();
    let keys = vec![key("shop", "secret-of-shop"), key("till", "secret-of-till")];
    let rig = Rig::with(Memory::new(), keys, 1 << 20).await;
    let mut ids = HashSet::new();
    for secret in ["secret-of-shop", "secret-of-till", "secret-of-shop"] {
        let bearer = format!("Bearer {secret}");
        let headers = [JSON, ("idempotency-key", "k"), ("authorization", bearer.as_str())];
        let got = rig.call("POST", "/v1/messages", &headers, message().to_string()).await;
        ids.insert(got.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_with_one_key_make_one_message() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { min_free_disk: 0, ..Options::default() };
    let rig = std::sync::Arc::new(Rig::sqlite(directory.path(), options).await);
    for round in 0..20 {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let rig = std::sync::Arc::clone(&rig);
            clients.spawn(async move { post(&rig, &format!("round-{round}"), &message()).await });
        }
        let answers = clients.join_all().await;
        let ids: HashSet<_> = answers
            .iter()
            .map(|got| {
                assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text);
                got.json()["id"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(ids.len(), 1, "round {round}");
        let firsts = answers.iter().filter(|got| got.header("idempotency-replayed").is_empty());
        assert_eq!(firsts.count(), 1, "round {round}");
    }
    assert_eq!(rig.get("/v1/audit").await.json()["accepted"], 20);
    rig.spool.close().await;
}
