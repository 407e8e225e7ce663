//! Claims about attempts and what follows from them.

use std::collections::BTreeMap;

use shivneri_core::{Attempt, Delivery, Outcome, Receipt, Transition, delivery::PastEnd};

use super::{Subject, fixture::*};
use crate::{MessageRecord, Status};

fn by_recipient(record: &MessageRecord) -> BTreeMap<&str, Status> {
    record.recipients.iter().map(|one| (one.address.as_str(), one.status)).collect()
}

/// A table of all of them.
pub async fn each_transition_leads_to_its_status(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let later = now + seconds(60);
    let reason = || "for a reason".to_owned();
    let cases = [
        (accepted(), Transition::Accepted, Status::Accepted, "accepted"),
        (rejected(), Transition::Rejected { reason: reason() }, Status::Rejected, "rejected"),
        (unavailable(), retry(later), Status::Queued, "unavailable"),
        (not_started(), retry(later), Status::Queued, "not_started"),
        (doubtful(), Transition::Doubt { until: later }, Status::Sending, "in_doubt"),
        (doubtful(), Transition::InDoubt { reason: reason() }, Status::InDoubt, "in_doubt"),
        (unavailable(), Transition::Expired, Status::Expired, "unavailable"),
    ];
    for (outcome, transition, expected, word) in cases {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let attempt = attempt(&delivery, "alpha");
        spool.begin(&attempt).await.expect("it is recorded");
        let during = record(&spool, delivery.message()).await;
        assert_eq!(during.status(), Status::Sending);
        assert_eq!((during.attempts.len(), &during.attempts[0].outcome), (1, &None));
        spool.end(&attempt, &outcome, &transition).await.expect("it is closed");
        let after = record(&spool, delivery.message()).await;
        assert_eq!(after.status(), expected, "{transition:?}");
        assert_eq!(after.summary.in_doubt, word == "in_doubt", "{transition:?}");
        assert_eq!(after.attempts[0].outcome.as_deref(), Some(word));
        assert_eq!(after.attempts[0].id, attempt.id);
        assert_eq!(after.summary.provider, Some(attempt.provider));
        assert_eq!(by_recipient(&after)["b@example.org"], expected);
    }
    assert_whole(&spool).await;
}

/// The lease is what the attempt is made under.
pub async fn an_attempt_needs_a_lease_and_no_other_open_one(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let first = attempt(&delivery, "alpha");
    spool.begin(&first).await.expect("it is recorded");
    let second = Attempt { number: 2, ..attempt(&delivery, "beta") };
    assert!(spool.begin(&second).await.is_err(), "one is open");
    assert!(spool.settle(delivery.id, &Transition::Expired).await.is_err(), "one is open");
    assert!(spool.end(&second, &accepted(), &Transition::Accepted).await.is_err());
    spool.end(&first, &unavailable(), &Transition::Continue).await.expect("it is closed");
    spool.begin(&second).await.expect("the lease goes on");
    spool.end(&second, &accepted(), &Transition::Accepted).await.expect("it is closed");
    let third = Attempt { number: 3, ..attempt(&delivery, "beta") };
    assert!(spool.begin(&third).await.is_err(), "it is final");
    assert_eq!(record(&spool, delivery.message()).await.attempts.len(), 2);
    assert_eq!(spool.stats().await.expect("it can be read").open_attempts, 0);
}

/// Neither begin nor end.
pub async fn an_attempt_of_an_older_epoch_changes_nothing(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    assert_eq!(delivery.epoch, spool.epoch());
    let good = attempt(&delivery, "alpha");
    let stale = Attempt { epoch: delivery.epoch - 1, ..good.clone() };
    assert!(spool.begin(&stale).await.is_err());
    spool.begin(&good).await.expect("it is recorded");
    assert!(spool.end(&stale, &accepted(), &Transition::Accepted).await.is_err());
    assert_eq!(status(&spool, delivery.message()).await, Status::Sending);
}

/// With numbers, providers, ends and doubts.
pub async fn the_next_lease_knows_what_was_tried(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let one = try_once(&spool, &delivery, &unavailable(), &Transition::Continue).await;
    let two = Attempt { number: 2, ..attempt(&delivery, "beta") };
    spool.begin(&two).await.expect("it is recorded");
    let until = now + seconds(60);
    spool.end(&two, &doubtful(), &Transition::Doubt { until }).await.expect("it is closed");
    assert!(spool.lease(1, until - seconds(1)).await.expect("it can be read").is_empty());
    let again = lease_one(&spool, until).await;
    let ends: Vec<_> = again.history.iter().map(|past| (past.id, past.end)).collect();
    let strong = PastEnd::InDoubt(shivneri_core::Doubt::Strong);
    assert_eq!(ends, [(one.id, PastEnd::Unavailable), (two.id, strong)]);
    assert_eq!((again.next_number(), again.is_in_doubt(), again.failures()), (3, true, 2));
    let three = try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    assert!(three.possible_duplicate);
    let record = record(&spool, delivery.message()).await;
    assert_eq!((record.status(), record.summary.in_doubt), (Status::Accepted, false));
    assert!(record.summary.possible_duplicate);
}

/// The accepted ones stay accepted.
pub async fn recipients_the_provider_refused_are_rejected_alone(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org", "d@x.org"]), now).await;
    let refused = vec!["c@x.org".parse().expect("it is an address")];
    let outcome = Outcome::Accepted(Receipt { refused, ..Receipt::new("1") });
    try_once(&spool, &delivery, &outcome, &Transition::Accepted).await;
    let record = record(&spool, delivery.message()).await;
    let expected = [
        ("b@x.org", Status::Accepted),
        ("c@x.org", Status::Rejected),
        ("d@x.org", Status::Accepted),
    ];
    assert_eq!(by_recipient(&record), expected.into());
    assert_eq!(record.status(), Status::Rejected);
    assert_whole(&spool).await;
}

/// They become a delivery of their own, and the accepted are never sent again.
pub async fn recipients_the_provider_deferred_are_sent_alone(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org", "d@x.org"]), now).await;
    let parse = |text: &str| vec![text.parse().expect("it is an address")];
    let receipt =
        Receipt { refused: parse("d@x.org"), deferred: parse("c@x.org"), ..Receipt::new("1") };
    try_once(&spool, &delivery, &Outcome::Accepted(receipt), &Transition::Accepted).await;
    let record_now = record(&spool, delivery.message()).await;
    let expected =
        [("b@x.org", Status::Accepted), ("c@x.org", Status::Queued), ("d@x.org", Status::Rejected)];
    assert_eq!(by_recipient(&record_now), expected.into());
    assert_eq!(record_now.status(), Status::Queued, "the unfinished is shown first");
    assert!(record_now.waiting.is_some());
    let rest = lease_one(&spool, now + seconds(60)).await;
    assert_ne!(rest.id, delivery.id);
    assert_eq!((rest.message(), rest.next_number()), (delivery.message(), 1));
    assert_eq!(recipients(&rest), ["c@x.org"]);
    assert!(rest.email.needs_envelope(), "the headers go on showing who got it");
    try_once(&spool, &rest, &accepted(), &Transition::Accepted).await;
    assert_eq!(status(&spool, delivery.message()).await, Status::Rejected);
    assert_whole(&spool).await;
}

fn recipients(delivery: &Delivery) -> Vec<&str> {
    delivery.email.envelope().recipients().iter().map(|one| one.as_str()).collect()
}

/// They leave the headers as well.
pub async fn refused_recipients_leave_and_the_rest_goes_on_at_once(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    try_once(&spool, &delivery, &bad_recipients(&["c@x.org"]), &Transition::Continue).await;
    let second = Attempt { number: 2, ..attempt(&delivery, "beta") };
    spool.begin(&second).await.expect("the lease goes on");
    spool.end(&second, &unavailable(), &retry(now)).await.expect("it is closed");
    let rest = lease_one(&spool, now).await;
    assert_eq!((rest.id, recipients(&rest)), (delivery.id, vec!["b@x.org"]));
    assert!(!rest.email.needs_envelope());
    try_once(&spool, &rest, &accepted(), &Transition::Accepted).await;
    let record = record(&spool, delivery.message()).await;
    let expected = [("b@x.org", Status::Accepted), ("c@x.org", Status::Rejected)];
    assert_eq!(by_recipient(&record), expected.into());
    assert_whole(&spool).await;
}

/// Accepted and in doubt are the only ends then.
pub async fn a_doubt_is_not_hidden_by_a_later_end(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    for end in [Transition::Rejected { reason: "bad content".into() }, Transition::Expired] {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let doubt = Transition::Doubt { until: now };
        try_once(&spool, &delivery, &doubtful(), &doubt).await;
        let again = lease_one(&spool, now).await;
        try_once(&spool, &again, &rejected(), &end).await;
        let record = record(&spool, delivery.message()).await;
        assert_eq!((record.status(), record.summary.in_doubt), (Status::InDoubt, true));
    }
}

/// And without a lease it is not.
pub async fn a_delivery_is_settled_without_an_attempt(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    spool.settle(delivery.id, &Transition::Expired).await.expect("it is settled");
    assert_eq!(status(&spool, delivery.message()).await, Status::Expired);
    let again = Transition::Rejected { reason: "nobody can carry it".into() };
    assert!(spool.settle(delivery.id, &again).await.is_err());
    assert_eq!(status(&spool, delivery.message()).await, Status::Expired);
    assert_whole(&spool).await;
}
