//! What `/metrics` tells, read back by a small parser of the format.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shivneri_core::Transition;
use shivneri_providers::sandbox::Fault;

use crate::rig::{Rig, message, with};

/// Families by name with their type, and samples by name and labels.
#[derive(Debug, Default)]
struct Parsed {
    families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

impl Parsed {
    /// Reads the text as Prometheus does, and fails where it would.
    fn of(text: &str) -> Self {
        let mut parsed = Self::default();
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if line == "# EOF" {
                continue;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && described.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(described.contains(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(parsed.families.insert(name.to_owned(), kind.to_owned()).is_none());
            } else {
                parsed.sample(line);
            }
        }
        parsed
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let value = match value {
            "+Inf" => f64::INFINITY,
            text => text.parse().unwrap_or_else(|e| panic!("{line:?}: {e}")),
        };
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap())),
            None => (series, Vec::new()),
        };
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "{line} twice");
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<_> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        *self.samples.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("{name}: {self:#?}"))
    }
}

fn labels(text: &str) -> Vec<(String, String)> {
    let pair = |one: &str| {
        let (name, value) = one.split_once('=').unwrap();
        let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        (name.to_owned(), value.to_owned())
    };
    text.split(',').map(pair).collect()
}

const FAMILIES: [(&str, &str); 13] = [
    ("shivneri_accept_seconds", "histogram"),
    ("shivneri_attempt_seconds", "histogram"),
    ("shivneri_attempts_total", "counter"),
    ("shivneri_build_info", "gauge"),
    ("shivneri_confirmed_duplicates_total", "counter"),
    ("shivneri_messages_accepted_total", "counter"),
    ("shivneri_possible_duplicates_bound", "gauge"),
    ("shivneri_possible_duplicates_total", "counter"),
    ("shivneri_provider_in_flight", "gauge"),
    ("shivneri_provider_status", "gauge"),
    ("shivneri_queue_messages", "gauge"),
    ("shivneri_queue_oldest_seconds", "gauge"),
    ("shivneri_spool_commit_seconds", "histogram"),
];

/// Two messages accepted by the sandbox, one in doubt, one that waits.
async fn busy() -> Rig {
    let rig = Rig::new().await;
    let sandbox = rig.sandbox("sandbox-a");
    for _ in 0..2 {
        rig.accepted(&message()).await;
        rig.carry(&sandbox, Transition::Accepted).await;
    }
    rig.accepted(&message()).await;
    sandbox.mailbox().set_fault(Fault::InDoubt);
    let until = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    rig.carry(&sandbox, Transition::Doubt { until }).await;
    rig.accepted(&with(json!({"lane": "bulk"}))).await;
    rig
}

#[tokio::test]
async fn the_families_are_those_that_dashboards_rely_on() {
    let got = busy().await.get("/metrics").await;
    assert_eq!(got.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let parsed = Parsed::of(&got.text);
    let families: Vec<_> =
        parsed.families.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(families, FAMILIES);
    for (name, _) in parsed.samples.keys() {
        let of_family = |(family, kind): &(&str, &str)| match name.strip_prefix(family) {
            Some("") => *kind != "histogram",
            Some("_sum" | "_count" | "_bucket") => *kind == "histogram",
            Some(_) | None => false,
        };
        assert!(FAMILIES.iter().any(of_family), "{name}");
    }
}

#[tokio::test]
async fn the_numbers_are_what_happened() {
    let rig = busy().await;
    let parsed = Parsed::of(&rig.get("/metrics").await.text);
    let http = [("door", "http")];
    assert_eq!(parsed.value("shivneri_messages_accepted_total", &http), 4.0);
    assert_eq!(parsed.value("shivneri_accept_seconds_count", &http), 4.0);
    for (outcome, count) in [("accepted", 2.0), ("in_doubt", 1.0)] {
        let labels = [("provider", "sandbox-a"), ("outcome", outcome)];
        assert_eq!(parsed.value("shivneri_attempts_total", &labels), count, "{outcome}");
    }
    let sandbox = ("provider", "sandbox-a");
    assert_eq!(parsed.value("shivneri_attempt_seconds_count", &[sandbox]), 3.0);
    assert_eq!(parsed.value("shivneri_provider_status", &[sandbox, ("status", "active")]), 1.0);
    assert_eq!(parsed.value("shivneri_provider_status", &[sandbox, ("status", "open")]), 0.0);
    assert_eq!(parsed.value("shivneri_provider_in_flight", &[sandbox]), 0.0);
    let queue =
        |lane, state| parsed.value("shivneri_queue_messages", &[("lane", lane), ("state", state)]);
    assert_eq!(queue("bulk", "queued"), 1.0);
    assert_eq!(queue("transactional", "accepted"), 2.0);
    assert_eq!(queue("transactional", "sending"), 1.0);
    assert_eq!(queue("critical", "queued"), 0.0);
    assert!(parsed.value("shivneri_queue_oldest_seconds", &[("lane", "bulk")]) >= 0.0);
    assert_eq!(parsed.value("shivneri_possible_duplicates_bound", &[]), 1.0);
    assert_eq!(parsed.value("shivneri_possible_duplicates_total", &[]), 0.0);
    assert_eq!(parsed.value("shivneri_build_info", &[("version", "1.2.3")]), 1.0);
}

#[tokio::test]
async fn a_histograms_buckets_rise_to_its_count() {
    let directory = tempfile::tempdir().unwrap();
    let options = shivneri_spool::Options { min_free_disk: 0, ..Default::default() };
    let rig = Rig::sqlite(directory.path(), options).await;
    rig.accepted(&message()).await;
    let parsed = Parsed::of(&rig.get("/metrics").await.text);
    for (name, labels) in [
        ("shivneri_spool_commit_seconds", vec![]),
        ("shivneri_accept_seconds", vec![("door".to_owned(), "http".to_owned())]),
    ] {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = parsed
            .samples
            .iter()
            .filter(|((series, _), _)| *series == bucket)
            .map(|((_, labels), count)| {
                let (_, bound) = labels.iter().find(|(label, _)| label == "le").unwrap();
                (bound.parse().unwrap(), *count)
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{buckets:?}");
        let count = parsed.samples[&(format!("{name}_count"), labels)];
        assert!(count >= 1.0);
        assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, count));
    }
    rig.spool.close().await;
}

#[tokio::test]
async fn who_asks_for_openmetrics_gets_it() {
    let rig = busy().await;
    let accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5";
    let got = rig.call("GET", "/metrics", &[("accept", accept)], "").await;
    assert!(got.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(got.text.ends_with("# EOF\n"));
    let parsed = Parsed::of(&got.text);
    assert_eq!(parsed.families["shivneri_attempts"], "counter");
    assert_eq!(parsed.value("shivneri_messages_accepted_total", &[("door", "http")]), 4.0);
}

#[tokio::test]
async fn a_replayed_message_is_not_counted_again_and_no_address_is_a_label() {
    let rig = Rig::new().await;
    let headers = [crate::rig::JSON, ("idempotency-key", "k")];
    for _ in 0..3 {
        rig.call("POST", "/v1/messages", &headers, message().to_string()).await;
    }
    let text = rig.get("/metrics").await.text;
    let accepted = Parsed::of(&text).value("shivneri_messages_accepted_total", &[("door", "http")]);
    assert_eq!(accepted, 1.0);
    assert!(!text.contains("example"));
}
