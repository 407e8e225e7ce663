//! Providers as they are shown, and an operator's word about them.

use http::StatusCode;
use serde_json::json;
use shivneri_core::Transition;
use shivneri_spool::{Options, Register as _};

use crate::rig::{Rig, message};

#[tokio::test]
async fn a_provider_is_shown_with_every_field() {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    rig.sandbox("sandbox-b");
    rig.accepted(&message()).await;
    rig.carry(&sandbox, Transition::Accepted).await;
    let body = rig.get("/v1/providers").await.json();
    let list = body["data"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    let one = &list[0];
    let mut keys: Vec<_> = one.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "agents",
            "counts",
            "id",
            "in_flight",
            "kind",
            "latency_ms",
            "quota",
            "rate",
            "reason",
            "share",
            "since",
            "status",
            "tier",
            "weight",
            "window",
        ]
    );
    assert_eq!(one["id"], "sandbox-a");
    assert_eq!(one["kind"], "sandbox");
    assert_eq!(one["status"], "active");
    assert_eq!(one["quota"], json!([]));
    assert_eq!(one["agents"], json!([]));
    assert_eq!(one["latency_ms"], json!({"p50": null, "p95": null}));
    assert!(one["share"].as_f64().unwrap() > 0.0);
    assert!(one["since"].as_str().unwrap().ends_with('Z'));
    for word in ["accepted", "rejected", "throttled", "unavailable", "in_doubt"] {
        assert_eq!(one["counts"][word], 0, "{word}");
    }
}

#[tokio::test]
async fn an_operators_word_is_taken_shown_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { min_free_disk: 0, ..Options::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    rig.sandbox("sandbox-a");
    for (word, status, kept) in [
        ("drain", "draining", "draining"),
        ("drain", "draining", "draining"),
        ("resume", "active", "enabled"),
        ("resume", "active", "enabled"),
        ("disable", "disabled", "disabled"),
        ("enable", "active", "enabled"),
        ("drain", "draining", "draining"),
        ("enable", "active", "enabled"),
        ("drain", "draining", "draining"),
        ("disable", "disabled", "disabled"),
    ] {
        let got = rig.call("POST", &format!("/v1/providers/sandbox-a/{word}"), &[], "").await;
        assert_eq!(got.status, StatusCode::OK, "{word}: {}", got.text);
        assert_eq!(got.json()["id"], "sandbox-a");
        assert_eq!(got.json()["status"], status, "{word}");
        assert_eq!(rig.get("/v1/providers").await.json()["data"][0]["status"], status);
        let record = rig.spool.providers().await.unwrap().pop().unwrap();
        assert_eq!((record.admin.as_str(), record.kind.as_str()), (kept, "sandbox"), "{word}");
    }
    rig.spool.close().await;
}

#[tokio::test]
async fn a_disabled_provider_is_brought_back_by_enable_only() {
    let rig = Rig::new().await;
    rig.sandbox("sandbox-a");
    rig.call("POST", "/v1/providers/sandbox-a/disable", &[], "").await;
    for word in ["resume", "drain"] {
        let got = rig.call("POST", &format!("/v1/providers/sandbox-a/{word}"), &[], "").await;
        assert_eq!(got.problem(), (409, "provider_disabled".to_owned(), vec![]), "{word}");
        assert!(got.text.contains("enable it first"));
    }
    assert_eq!(rig.get("/v1/providers").await.json()["data"][0]["status"], "disabled");
}

#[tokio::test]
async fn what_else_is_known_of_a_provider_survives_an_operators_word() {
    let rig = Rig::new().await;
    rig.sandbox("sandbox-a");
    rig.call("POST", "/v1/providers/sandbox-a/drain", &[], "").await;
    let mut record = rig.spool.providers().await.unwrap().pop().unwrap();
    record.fault = Some("quota".to_owned());
    rig.spool.put_provider(&record).await.unwrap();
    rig.call("POST", "/v1/providers/sandbox-a/disable", &[], "").await;
    let after = rig.spool.providers().await.unwrap().pop().unwrap();
    assert_eq!(after, shivneri_spool::ProviderRecord { admin: "disabled".to_owned(), ..record });
}

#[tokio::test]
async fn only_a_sandbox_of_this_process_has_a_mailbox() {
    let rig = Rig::new().await;
    for (name, code) in [("mailgun", "no_mailbox"), ("remote-1", "mailbox_elsewhere")] {
        let id = name.parse().unwrap();
        let sandbox = shivneri_providers::sandbox::Sandbox::new(id, Default::default());
        rig.registry.add(std::sync::Arc::new(sandbox), Default::default()).unwrap();
        let got = rig.get(&format!("/v1/providers/{name}/mailbox")).await;
        assert_eq!(got.problem(), (404, code.to_owned(), vec![]));
    }
    rig.sandbox("sandbox-a");
    let empty = rig.get("/v1/providers/sandbox-a/mailbox").await.json();
    assert_eq!(empty, json!({"data": []}));
    for query in ["limit=x", "limit=1&limit=2", "since=now"] {
        let got = rig.get(&format!("/v1/providers/sandbox-a/mailbox?{query}")).await;
        assert_eq!(got.problem().0, 422, "{query}");
    }
}

#[tokio::test]
async fn no_provider_makes_an_empty_list() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/v1/providers").await.json(), json!({"data": []}));
}
