//! Claims about doubt that a part took with it when it split off.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{Attempt, Outcome, Receipt, Transition};

use super::{Subject, fixture::*};
use crate::{Spool, Status};

/// A message whose first attempt is in doubt, and whose second took all but `c@x.org`.
async fn divided(spool: &Arc<dyn Spool>, now: SystemTime) -> Attempt {
    let delivery = accept_and_lease(spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    let doubt = Transition::Doubt { until: now };
    let first = try_once(spool, &delivery, &doubtful(), &doubt).await;
    let again = lease_one(spool, now).await;
    let deferred = vec!["c@x.org".parse().expect("it is an address")];
    let some = Outcome::Accepted(Receipt { deferred, ..Receipt::new("1") });
    try_once(spool, &again, &some, &Transition::Accepted).await;
    assert_eq!(bound(spool).await, 1, "the second's mail is perhaps its second");
    first
}

async fn bound(spool: &Arc<dyn Spool>) -> u64 {
    spool.stats().await.expect("it can be read").duplicates_bound()
}

/// The rest is sent once, and nothing is in doubt any more.
pub async fn a_doubt_settled_as_unsent_is_settled_for_those_split_off_as_well(
    subject: &dyn Subject,
) {
    let (spool, now) = (subject.open().await, now());
    for is_leased in [false, true] {
        let first = divided(&spool, now).await;
        let later = now + seconds(60);
        let stale = if is_leased { Some(lease_one(&spool, later).await) } else { None };
        spool.amend(first.id, &not_started(), &retry(now)).await.expect("it is committed");
        assert_eq!(bound(&spool).await, 0);
        let found = record(&spool, first.message).await;
        assert_eq!((found.status(), found.summary.in_doubt), (Status::Queued, false));
        if let Some(stale) = stale {
            assert!(spool.begin(&attempt(&stale, "beta")).await.is_err(), "it is not in doubt");
        }
        let rest = lease_one(&spool, later).await;
        assert!(!rest.is_in_doubt());
        try_once(&spool, &rest, &accepted(), &Transition::Accepted).await;
        assert_eq!(status(&spool, first.message).await, Status::Accepted);
    }
    assert_whole(&spool).await;
}

/// They were taken by it, and are not sent to again.
pub async fn a_late_acceptance_is_one_for_those_split_off_as_well(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let first = divided(&spool, now).await;
    spool.amend(first.id, &accepted(), &Transition::Accepted).await.expect("it is committed");
    let found = record(&spool, first.message).await;
    assert_eq!((found.status(), found.summary.in_doubt), (Status::Accepted, false));
    assert_eq!(bound(&spool).await, 0);
    assert!(spool.lease(9, now + seconds(99)).await.expect("it can be read").is_empty());

    let first = divided(&spool, now).await;
    let deferred = vec!["c@x.org".parse().expect("it is an address")];
    let some = Outcome::Accepted(Receipt { deferred, ..Receipt::new("2") });
    spool.amend(first.id, &some, &Transition::Accepted).await.expect("it is committed");
    assert_eq!(bound(&spool).await, 0);
    assert!(!lease_one(&spool, now + seconds(60)).await.is_in_doubt(), "neither has taken it");
    assert_whole(&spool).await;
}

/// In whichever order it is proven.
pub async fn who_waits_for_evidence_alone_is_due_once_all_is_proven_unsent(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let later = now + seconds(60);
    let until = later + seconds(60);
    for wait in [Transition::Ask { at: until, until }, Transition::Doubt { until }] {
        for own_first in [true, false] {
            let first = divided(&spool, now).await;
            let own = attempt(&lease_one(&spool, later).await, "beta");
            spool.begin(&own).await.expect("it is recorded");
            spool.end(&own, &doubtful(), &wait).await.expect("it is closed");
            let (one, two) = if own_first { (own.id, first.id) } else { (first.id, own.id) };
            spool.amend(one, &not_started(), &retry(now)).await.expect("it is committed");
            assert!(spool.lease(9, later).await.expect("it can be read").is_empty());
            spool.amend(two, &not_started(), &retry(now)).await.expect("it is committed");
            let rest = lease_one(&spool, later).await;
            assert_eq!((rest.is_in_doubt(), rest.awaiting), (false, None));
            try_once(&spool, &rest, &accepted(), &Transition::Accepted).await;
        }
    }
    assert_whole(&spool).await;
}

/// The part's own acceptance and that of the attempt it has split off from, whichever comes first.
pub async fn a_part_that_was_taken_twice_is_a_confirmed_duplicate(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let confirmed = async || spool.stats().await.expect("it can be read").confirmed_duplicates;
    let mut counted = Vec::new();
    for own_first in [true, false] {
        let before = confirmed().await;
        let first = divided(&spool, now).await;
        let rest = lease_one(&spool, now + seconds(60)).await;
        let own = attempt(&rest, "beta");
        spool.begin(&own).await.expect("it is recorded");
        if own_first {
            spool.end(&own, &accepted(), &Transition::Accepted).await.expect("it is closed");
        }
        spool.amend(first.id, &accepted(), &Transition::Accepted).await.expect("it is committed");
        if !own_first {
            spool.end(&own, &accepted(), &Transition::Accepted).await.expect("it is closed");
        }
        counted.push(confirmed().await - before);
    }
    assert_eq!(counted, [2, 2]);
    assert_whole(&spool).await;
}
