//! Letting agents in and out.

use http::StatusCode;
use serde_json::json;
use shivneri_ingress::agents;
use shivneri_spool::Register as _;

use crate::rig::Rig;

#[tokio::test]
async fn an_agents_token_is_shown_once_and_kept_as_a_digest() {
    let rig = Rig::new().await;
    let got = rig.post("/v1/agents", json!({"id": "mailgun-1", "provider": "mailgun"})).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.text);
    let body = got.json();
    let token = body["token"].as_str().unwrap();
    assert!(token.starts_with("sht_"));
    assert_eq!(body, json!({"id": "mailgun-1", "provider": "mailgun", "token": token}));
    let kept = rig.spool.agents().await.unwrap().pop().unwrap();
    assert!(agents::proves(token, &kept.token_sha256));
    assert!(!agents::proves("sht_guessed", &kept.token_sha256));
    assert_eq!((kept.id.as_str(), kept.provider.as_str()), ("mailgun-1", "mailgun"));
    let list = rig.get("/v1/agents").await;
    assert!(!list.text.contains(token));
    let one = &list.json()["data"][0];
    assert_eq!(one["id"], "mailgun-1");
    assert_eq!(one["provider"], "mailgun");
    assert!(one["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(one.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_known_agent_keeps_its_token_until_it_is_removed() {
    let rig = Rig::new().await;
    let wanted = json!({"id": "mailgun-1", "provider": "mailgun"});
    rig.post("/v1/agents", &wanted).await;
    let before = rig.spool.agents().await.unwrap();
    let again = rig.post("/v1/agents", &wanted).await;
    assert_eq!(again.problem(), (409, "agent_exists".to_owned(), vec![]));
    assert_eq!(rig.spool.agents().await.unwrap(), before);
    let removed = rig.call("DELETE", "/v1/agents/mailgun-1", &[], "").await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(rig.spool.agents().await.unwrap().is_empty());
    assert_eq!(rig.post("/v1/agents", &wanted).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_agent_without_a_provider_serves_the_one_of_its_own_name() {
    let rig = Rig::new().await;
    let body = rig.post("/v1/agents", json!({"id": "mailgun"})).await.json();
    assert_eq!(body["provider"], "mailgun");
}

#[tokio::test]
async fn every_bad_field_of_an_agent_is_named() {
    let rig = Rig::new().await;
    for (body, fields) in [
        (json!({}), vec!["id"]),
        (json!({"id": "a b", "provider": "c d"}), vec!["id", "provider"]),
        (json!({"id": "a", "provider": "b", "token": "mine"}), vec!["token"]),
        (json!({"id": 5}), vec!["id"]),
    ] {
        let got = rig.post("/v1/agents", &body).await;
        let expected = fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(got.problem(), (422, "invalid_field".to_owned(), expected), "{body}");
    }
    assert_eq!(rig.post("/v1/agents", "{").await.status, StatusCode::BAD_REQUEST);
}
