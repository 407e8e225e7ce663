use serde_json::json;

use super::*;

fn settings(value: Value) -> Settings {
    value.as_object().unwrap().clone()
}

fn id() -> ProviderId {
    "account".parse().unwrap()
}

fn refusal(kind: &str, value: Value) -> String {
    build(kind, id(), settings(value)).unwrap_err().to_string()
}

#[test]
fn every_kind_of_the_catalog_is_built_under_its_name() {
    let key = json!({ "api_key": "SG.key" });
    let mailgun = json!({ "api_key": "key", "domain": "mg.example.com", "region": "eu" });
    let ses = json!({ "access_key_id": "AKID", "secret_access_key": "s", "region": "eu-west-1" });
    for (kind, given) in
        [("sendgrid", key), ("mailgun", mailgun), ("ses", ses), ("sandbox", json!({}))]
    {
        let built = build(kind, id(), settings(given)).unwrap();
        assert_eq!((built.provider.kind(), built.provider.id()), (kind, &id()));
        assert_eq!(built.mailbox.is_some(), kind == "sandbox");
        assert!(kinds().contains(&kind));
    }
    assert_eq!(catalog().len(), kinds().len());
}

#[test]
fn an_unknown_kind_is_refused_with_the_kinds_there_are() {
    let error = refusal("sendgird", json!({}));
    for kind in kinds() {
        assert!(error.contains(kind), "{error}");
    }
    assert!(error.contains("sendgird"));
}

#[test]
fn a_setting_that_is_missing_unknown_or_wrong_is_named_with_the_kind() {
    for (kind, given, named) in [
        ("sendgrid", json!({}), "`api_key`"),
        ("sendgrid", json!({ "api_key": "k", "apikey": "k" }), "`apikey`"),
        ("sendgrid", json!({ "api_key": 31337 }), "api_key is not text"),
        ("sendgrid", json!({ "api_key": " " }), "api_key is empty"),
        ("sendgrid", json!({ "api_key": "a\nb" }), "api_key"),
        ("sendgrid", json!({ "api_key": "k", "timeout": "60" }), "timeout"),
        ("sendgrid", json!({ "api_key": "k", "timeout": "0s" }), "timeout is zero"),
        ("sendgrid", json!({ "api_key": "k", "test_mode": "maybe" }), "test_mode"),
        ("sendgrid", json!({ "api_key": "k", "region": "mars" }), "region"),
        ("sendgrid", json!({ "api_key": "k", "base_url": "ftp://x" }), "base_url is neither"),
        ("sendgrid", json!({ "api_key": "k", "base_url": "http://u:p@x" }), "base_url holds"),
        ("mailgun", json!({ "api_key": "k" }), "`domain`"),
        ("mailgun", json!({ "api_key": "k", "domain": "a%2fb" }), "domain"),
        ("ses", json!({ "access_key_id": "AKID" }), "secret_access_key"),
        (
            "ses",
            json!({ "access_key_id": "A", "secret_access_key": "s", "region": "a/b" }),
            "region",
        ),
        ("ses", json!({ "test_mode": true }), "test_mode"),
        ("sandbox", json!({ "fault": "sometimes" }), "fault is none of"),
        ("sandbox", json!({ "latency": 5 }), "latency"),
    ] {
        let error = refusal(kind, given);
        assert!(error.starts_with(kind) && error.contains(named), "{error}");
        assert!(!error.contains("31337"), "{error}");
    }
}

#[test]
fn values_that_come_as_text_are_read() {
    let given = json!({ "api_key": "k\n", "test_mode": "true", "timeout": "90s" });
    let built = build("sendgrid", id(), settings(given)).unwrap();
    assert_eq!(built.timeout, Some(Duration::from_secs(90)));
    assert!(format!("{:?}", built.provider).contains("test_mode: true"));
}
