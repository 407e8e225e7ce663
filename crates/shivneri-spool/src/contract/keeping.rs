//! Claims about what is kept, and for how long.

use std::time::Duration;

use shivneri_core::Transition;

use super::{Subject, fixture::*};
use crate::{
    AgentIdentity, ApiKey, Change, Duplicates, ProviderRecord, Register, Retention, Shelf,
    SpoolError, SpoolState,
};

/// What is not finished stays, however old.
pub async fn bodies_go_first_and_messages_later(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let queued = accept(&spool, &draft(&["b@example.org"]), now).await;
    let delivery = lease_one(&spool, now).await;
    try_once(&spool, &delivery, &unavailable(), &retry(now + seconds(9))).await;
    let sent = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    try_once(&spool, &sent, &accepted(), &Transition::Accepted).await;
    let failed = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    spool.settle(failed.id, &Transition::Expired).await.expect("it is settled");
    let retention = Retention::default();
    let day = Duration::from_secs(86_400);
    let collect = async |at| {
        let collected = spool.collect(retention, at).await.expect("it is committed");
        (collected.bodies, collected.messages)
    };
    assert_eq!(collect(now + 2 * day).await, (0, 0));
    assert_eq!(collect(now + 4 * day).await, (2, 0));
    let kept = record(&spool, sent.message()).await;
    assert!(kept.email.is_none() && kept.attempts.len() == 1);
    assert_eq!(kept.summary.subject, "Your invoice");
    assert!(record(&spool, queued).await.email.is_some());
    let change = spool.requeue(failed.message(), Duplicates::Refuse, now).await;
    assert_eq!(change.expect("it is answered"), Change::Gone);
    assert_eq!(collect(now + 4 * day).await, (0, 0));
    assert_eq!(collect(now + 31 * day).await, (0, 2));
    assert!(spool.get(sent.message()).await.expect("it can be read").is_none());
    let audit = spool.audit().await.expect("it can be read");
    assert_eq!((audit.accepted, audit.purged, audit.gap()), (3, 2, 0));
    assert_eq!(lease_one(&spool, now + 31 * day).await.message(), queued);
}

/// Each by its key, the later in place of the earlier.
pub async fn small_records_are_kept_and_removed(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let mut provider = ProviderRecord {
        id: "alpha".parse().expect("it is a name"),
        kind: "sendgrid".into(),
        admin: "enabled".into(),
        hosted: false,
        capabilities: shivneri_core::Capabilities::default(),
        gate_until: None,
        fault: None,
        last_seen: None,
    };
    spool.put_provider(&provider).await.expect("it is committed");
    provider.admin = "draining".into();
    provider.gate_until = Some(now);
    spool.put_provider(&provider).await.expect("it is committed");
    let one = std::slice::from_ref(&provider);
    assert_eq!(spool.providers().await.expect("it can be read"), one);
    let agent = AgentIdentity {
        id: "one".parse().expect("it is a name"),
        provider: provider.id.clone(),
        token_sha256: [1; 32],
        created_at: now,
    };
    spool.put_agent(&agent).await.expect("it is committed");
    assert_eq!(spool.agents().await.expect("it can be read"), std::slice::from_ref(&agent));
    let key = ApiKey {
        id: "k1".into(),
        name: "shop".into(),
        secret_sha256: [2; 32],
        scopes: vec!["send".into()],
        domains: None,
        created_at: now,
    };
    spool.put_key(&key).await.expect("it is committed");
    assert_eq!(spool.keys().await.expect("it can be read"), [key]);
    assert!(spool.remove_key("k1").await.expect("it is committed"));
    assert!(!spool.remove_key("k1").await.expect("it is committed"));
    assert!(spool.remove_agent(&agent.id).await.expect("it is committed"));
    assert!(spool.remove_provider(&provider.id).await.expect("it is committed"));
    for shelf in [Shelf::Providers, Shelf::Agents, Shelf::Keys] {
        assert!(spool.shelf(shelf).await.expect("it can be read").is_empty());
    }
}

/// Strictly.
pub async fn generations_rise_for_each_agent(subject: &dyn Subject) {
    let spool = subject.open().await;
    let (one, two) = ("one".parse().expect("a name"), "two".parse().expect("a name"));
    let first = spool.next_generation(&one).await.expect("it is committed");
    let second = spool.next_generation(&one).await.expect("it is committed");
    assert!(0 < first && first < second);
    assert!(spool.next_generation(&two).await.expect("it is committed") > 0);
}

/// The longest counts, until the provider is forgotten. Those of a second or without a word are not
/// worth keeping.
pub async fn a_pause_that_a_provider_asked_for_is_kept_with_the_attempts_end(
    subject: &dyn Subject,
) {
    let (mut spool, now) = (subject.open().await, now());
    let before = std::time::SystemTime::now();
    for (provider, pause) in [("alpha", 60), ("alpha", 30), ("beta", 1), ("gamma", 30)] {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let attempt = attempt(&delivery, provider);
        spool.begin(&attempt).await.expect("it is recorded");
        let outcome = throttled(seconds(pause));
        spool.end(&attempt, &outcome, &Transition::Expired).await.expect("it is recorded");
    }
    let gamma = "gamma".parse().expect("it is a name");
    spool.remove_provider(&gamma).await.expect("it is committed");
    let found = spool.pauses().await.expect("it can be read");
    let [(provider, until)] = &found.iter().collect::<Vec<_>>()[..] else { panic!("{found:?}") };
    assert_eq!(provider.as_str(), "alpha");
    // Kept in microseconds, by the spool's own clock.
    assert!(**until + seconds(1) > before + seconds(60), "{until:?}");
    if let Some(next) = subject.crash(spool).await {
        spool = next;
        assert_eq!(spool.pauses().await.expect("it can be read"), found);
    }
}

/// And takes nothing more.
pub async fn a_closed_spool_says_so(subject: &dyn Subject) {
    let spool = subject.open().await;
    accept(&spool, &draft(&["b@example.org"]), now()).await;
    assert_eq!(spool.health().state, SpoolState::Open);
    spool.close().await;
    assert_eq!(spool.health().state, SpoolState::Closed);
    let refused = spool.accept(incoming(&draft(&["b@example.org"]), now())).await;
    assert!(matches!(refused, Err(SpoolError::Closed)), "{refused:?}");
    assert!(spool.lease(1, now()).await.is_err());
}
