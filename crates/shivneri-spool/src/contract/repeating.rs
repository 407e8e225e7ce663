//! Claims about requests that are made again by their key.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{Attempt, Delivery, Outcome, Receipt, Transition};

use super::{Subject, fixture::*};
use crate::{Amended, Spool, Status};

/// A delivery to four whose request alpha was put once, and perhaps has; leased again.
async fn in_doubt(spool: &Arc<dyn Spool>, now: SystemTime) -> (Delivery, Attempt) {
    let to = draft(&["b@x.org", "c@x.org", "d@x.org"]);
    let delivery = accept_and_lease(spool, &to, now).await;
    let asking = Transition::Ask { at: now, until: now + seconds(60) };
    let first = try_once(spool, &delivery, &doubtful(), &asking).await;
    (lease_one(spool, now).await, first)
}

/// The request of an earlier attempt once more.
fn repetition(delivery: &Delivery, of: &Attempt) -> Attempt {
    let again = attempt(delivery, of.provider.as_str());
    Attempt { request: of.request, repetition: true, possible_duplicate: false, ..again }
}

/// It took b, refused c, and put off d.
fn some() -> Outcome {
    let one = |address: &str| vec![address.parse().expect("it is an address")];
    let (refused, deferred) = (one("c@x.org"), one("d@x.org"));
    Outcome::Accepted(Receipt { refused, deferred, ..Receipt::new("provider-id-1") })
}

async fn statuses(spool: &Arc<dyn Spool>, delivery: &Delivery) -> (Vec<Status>, bool) {
    let found = record(spool, delivery.message()).await;
    (found.recipients.iter().map(|one| one.status).collect(), found.summary.in_doubt)
}

const SOME: [Status; 3] = [Status::Accepted, Status::Rejected, Status::Queued];

/// Neither whom the provider refused nor whom it put off. What another provider perhaps has stays in
/// doubt.
pub async fn an_answered_request_leaves_nobody_of_it_in_doubt(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let bound = async || spool.stats().await.expect("the spool can be read").duplicates_bound();
    let (delivery, first) = in_doubt(&spool, now).await;
    let again = repetition(&delivery, &first);
    spool.begin(&again).await.expect("it is recorded");
    spool.end(&again, &some(), &Transition::Accepted).await.expect("it is closed");
    assert_eq!(statuses(&spool, &delivery).await, (SOME.to_vec(), false));
    assert_eq!(bound().await, 0);
    let found = record(&spool, delivery.message()).await;
    assert_eq!(found.attempts[0].outcome.as_deref(), Some("accepted"));
    assert_eq!(found.attempts[0].provider_message_id.as_deref(), Some("provider-id-1"));
    let late = spool.amend(first.id, &accepted(), &Transition::Accepted).await;
    assert_eq!(late.expect("it is answered"), Amended::Unchanged, "it has its end");
    let rest = lease_one(&spool, now + seconds(60)).await;
    assert_eq!((rest.email.envelope().recipients().len(), rest.is_in_doubt()), (1, false));
    spool.settle(rest.id, &Transition::Expired).await.expect("it is committed");

    let (delivery, first) = in_doubt(&spool, now).await;
    let other = attempt(&delivery, "beta");
    spool.begin(&other).await.expect("it is recorded");
    let asking = Transition::Ask { at: now, until: now + seconds(60) };
    spool.end(&other, &doubtful(), &asking).await.expect("it is closed");
    let again = repetition(&lease_one(&spool, now).await, &first);
    spool.begin(&again).await.expect("it is recorded");
    spool.end(&again, &some(), &Transition::Accepted).await.expect("it is closed");
    let rest = lease_one(&spool, now + seconds(60)).await;
    assert!(rest.is_in_doubt(), "beta perhaps has it");
    assert_eq!(bound().await, 2, "for those whom alpha did not take");
    assert_whole(&spool).await;
}

/// Whichever of them it comes for, and for those as well that have split off meanwhile.
pub async fn a_late_answer_to_a_request_is_one_to_its_repetitions(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    for of_the_first in [true, false] {
        let (delivery, first) = in_doubt(&spool, now).await;
        let again = repetition(&delivery, &first);
        spool.begin(&again).await.expect("it is recorded");
        let asking = Transition::Ask { at: now, until: now + seconds(60) };
        spool.end(&again, &doubtful(), &asking).await.expect("it is closed");
        let id = if of_the_first { first.id } else { again.id };
        let amended = spool.amend(id, &some(), &Transition::Accepted).await;
        assert_eq!(amended.expect("it is committed"), Amended::Moved);
        assert_eq!(statuses(&spool, &delivery).await, (SOME.to_vec(), false));
        let rest = lease_one(&spool, now + seconds(60)).await;
        assert!(!rest.is_in_doubt());
        spool.settle(rest.id, &Transition::Expired).await.expect("it is committed");

        let (delivery, first) = in_doubt(&spool, now).await;
        let again = repetition(&delivery, &first);
        spool.begin(&again).await.expect("it is recorded");
        spool.end(&again, &doubtful(), &asking).await.expect("it is closed");
        let resend = attempt(&lease_one(&spool, now).await, "beta");
        spool.begin(&resend).await.expect("it is recorded");
        spool.end(&resend, &some(), &Transition::Accepted).await.expect("it is closed");
        let id = if of_the_first { first.id } else { again.id };
        let amended = spool.amend(id, &accepted(), &Transition::Accepted).await;
        assert_eq!(amended.expect("it is committed"), Amended::Closed);
        assert_eq!(statuses(&spool, &delivery).await, (vec![Status::Accepted; 3], false));
    }
    let stats = spool.stats().await.expect("the spool can be read");
    assert_eq!((stats.duplicates_bound(), stats.confirmed_duplicates), (0, 2));
    assert_whole(&spool).await;
}

/// Not only when evidence would have been asked for again.
pub async fn what_is_proven_unsent_during_a_repetition_is_due_once_that_has_ended(
    subject: &dyn Subject,
) {
    let (spool, now) = (subject.open().await, now());
    let asking = Transition::Ask { at: now + seconds(30), until: now + seconds(60) };
    let waiting = Transition::Doubt { until: now + seconds(60) };
    for after in [&asking, &waiting] {
        for end in [unavailable(), not_started()] {
            let (delivery, first) = in_doubt(&spool, now).await;
            let again = repetition(&delivery, &first);
            spool.begin(&again).await.expect("it is recorded");
            let proof = spool.amend(first.id, &not_started(), &retry(now)).await;
            assert_eq!(proof.expect("it is committed"), Amended::Closed);
            spool.end(&again, &end, after).await.expect("it is closed");
            let found = record(&spool, delivery.message()).await;
            assert_eq!((found.status(), found.summary.in_doubt), (Status::Queued, false));
            // In the spool's own time, which has gone on since.
            let fresh = lease_one(&spool, now + seconds(15)).await;
            assert_eq!((fresh.id, fresh.is_in_doubt(), fresh.awaiting), (delivery.id, false, None));
            try_once(&spool, &fresh, &accepted(), &Transition::Accepted).await;
        }
    }
    assert_whole(&spool).await;
}
