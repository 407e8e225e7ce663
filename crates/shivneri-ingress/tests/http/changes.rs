//! Calling messages off and sending them again.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};
use shivneri_core::Transition;
use shivneri_providers::sandbox::Fault;

use crate::rig::{Rig, message, with};

async fn accept(rig: &Rig, message: Value) -> String {
    rig.post("/v1/messages", message).await.json()["id"].as_str().unwrap().to_owned()
}

async fn status(rig: &Rig, id: &str) -> Value {
    rig.get(&format!("/v1/messages/{id}")).await.json()["status"].clone()
}

#[tokio::test]
async fn a_message_is_called_off_before_it_is_sent_and_only_then() {
    let rig = Rig::new().await;
    let id = accept(&rig, message()).await;
    let path = format!("/v1/messages/{id}/cancel");
    let got = rig.call("POST", &path, &[], "").await;
    assert_eq!((got.status, &got.json()["status"]), (StatusCode::OK, &json!("cancelled")));
    let got = rig.call("POST", &path, &[], "").await;
    assert_eq!(got.problem(), (409, "message_state".to_owned(), vec![]));
    assert_eq!(rig.call("GET", &path, &[], "").await.problem().0, 405);
}

#[tokio::test]
async fn mail_in_doubt_is_neither_called_off_nor_sent_again_without_a_word() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    sandbox.mailbox().set_fault(Fault::InDoubt);
    let id = accept(&rig, with(json!({"on_doubt": "hold"}))).await;
    rig.carry(&sandbox, Transition::Doubt { until: SystemTime::now() }).await;
    let cancel = format!("/v1/messages/{id}/cancel");
    let got = rig.call("POST", &cancel, &[], "").await;
    assert_eq!(got.problem(), (409, "message_state".to_owned(), vec![]));
    assert!(got.text.contains("perhaps sent"), "{}", got.text);

    let leased = rig.spool.lease(1, SystemTime::now()).await.unwrap();
    let end = Transition::InDoubt { reason: "on_doubt is hold".to_owned() };
    rig.spool.settle(leased[0].id, &end).await.unwrap();
    assert_eq!(status(&rig, &id).await, "in_doubt");
    let requeue = format!("/v1/messages/{id}/requeue");
    for body in ["", "{}", r#"{"accept_duplicate":false}"#, r#"{"accept_duplicate":null}"#] {
        let got = rig.call("POST", &requeue, &[crate::rig::JSON], body).await;
        assert_eq!(got.problem(), (409, "message_state".to_owned(), vec![]), "{body}");
        assert_eq!(status(&rig, &id).await, "in_doubt");
    }
    for (body, fields) in [
        (r#"{"accept_duplicate":"yes"}"#, vec!["accept_duplicate".to_owned()]),
        (r#"{"accept_duplicates":true}"#, vec!["accept_duplicates".to_owned()]),
    ] {
        let got = rig.call("POST", &requeue, &[crate::rig::JSON], body).await;
        assert_eq!(got.problem(), (422, "invalid_field".to_owned(), fields), "{body}");
    }
    let got = rig.post(&requeue, json!({"accept_duplicate": true})).await;
    assert_eq!((got.status, &got.json()["status"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(got.json()["possible_duplicate"], true);
}

#[tokio::test]
async fn what_was_rejected_is_sent_again_and_what_is_past_retention_is_gone() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    sandbox.mailbox().set_fault(Fault::Reject);
    let id = accept(&rig, message()).await;
    rig.carry(&sandbox, Transition::Rejected { reason: "bad content".to_owned() }).await;
    let requeue = format!("/v1/messages/{id}/requeue");
    let got = rig.call("POST", &requeue, &[], "").await;
    assert_eq!((got.status, &got.json()["status"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(got.json()["possible_duplicate"], false);
    rig.carry(&sandbox, Transition::Rejected { reason: "bad content".to_owned() }).await;
    let at_once =
        shivneri_spool::Retention { body: std::time::Duration::ZERO, ..Default::default() };
    let later = SystemTime::now() + std::time::Duration::from_secs(60);
    rig.spool.collect(at_once, later).await.unwrap();
    let got = rig.call("POST", &requeue, &[], "").await;
    assert_eq!(got.problem(), (410, "past_retention".to_owned(), vec![]));
}
