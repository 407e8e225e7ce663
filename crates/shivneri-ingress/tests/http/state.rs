//! How the server says that it fares.

use http::StatusCode;
use serde_json::{Value, json};
use shivneri_core::{Transition, health::Admin};
use shivneri_spool::Options;

use crate::rig::{Rig, message};

#[tokio::test]
async fn a_server_with_an_active_provider_is_ready() {
    let rig = Rig::new().await;
    rig.sandbox("sandbox-a");
    let got = rig.get("/readyz").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json(), json!({"accept": "ok", "dispatch": "ok", "reason": Value::Null}));
    assert_eq!(rig.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn held_mail_is_no_reason_to_take_none() {
    let rig = Rig::new().await;
    let none = rig.get("/readyz").await;
    assert_eq!(none.status, StatusCode::OK);
    let expected = json!({"accept": "ok", "dispatch": "held", "reason": "no provider is known"});
    assert_eq!(none.json(), expected);
    rig.sandbox("sandbox-a");
    rig.registry.administer(&"sandbox-a".parse().unwrap(), Admin::Disabled).unwrap();
    let disabled = rig.get("/readyz").await;
    assert_eq!(disabled.status, StatusCode::OK);
    assert_eq!(disabled.json()["dispatch"], "held");
    let reason = disabled.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("sandbox-a is disabled"), "{reason}");
}

#[tokio::test]
async fn a_server_that_takes_no_mail_is_not_ready_but_lives() {
    let directory = tempfile::tempdir().unwrap();
    // No disk has so much room.
    let options = Options { min_free_disk: u64::MAX, ..Options::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    rig.sandbox("sandbox-a");
    let full = rig.get("/readyz").await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.json()["accept"], "refused");
    assert_eq!(full.json()["dispatch"], "ok");
    assert!(full.json()["reason"].as_str().unwrap().contains("full"));
    rig.spool.close().await;
    let closed = rig.get("/readyz").await;
    assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(closed.json()["dispatch"], "held");
    assert_eq!(rig.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_audit_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { min_free_disk: 0, ..Options::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    let sandbox = rig.sandbox("sandbox-a");
    for _ in 0..3 {
        rig.accepted(&message()).await;
    }
    rig.carry(&sandbox, Transition::Accepted).await;
    let expected =
        json!({"accepted": 3, "states": {"accepted": 1, "queued": 2}, "purged": 0, "gap": 0});
    assert_eq!(rig.get("/v1/audit").await.json(), expected);
    rig.spool.close().await;
}

#[tokio::test]
async fn no_answer_is_cached_or_guessed_at() {
    let rig = Rig::new().await;
    for path in ["/v1/messages", "/livez", "/v1/nothing"] {
        let got = rig.get(path).await;
        assert_eq!(got.header("cache-control"), "no-store", "{path}");
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");
    }
}
