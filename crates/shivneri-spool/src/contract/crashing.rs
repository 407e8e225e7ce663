//! Claims about what the next owner finds. They hold only for spools that outlive their process.

use shivneri_core::{Attempt, Delivery, Lane, Transition};

use super::{Subject, fixture::*};
use crate::{Acceptance, Amended, Register, Search, Status};

/// Mail, keys, small records, generations.
pub async fn what_was_acknowledged_is_there_after_a_crash(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let draft = draft(&["b@example.org"]);
    let first = spool.accept(keyed(&draft, now, "k", 1)).await.expect("it is accepted");
    let Acceptance::New { id, .. } = first else { panic!("{first:?}") };
    let sent = lease_one(&spool, now).await;
    try_once(&spool, &sent, &accepted(), &Transition::Accepted).await;
    let waiting = accept(&spool, &draft, now).await;
    let agent = "one".parse().expect("it is a name");
    let generation = spool.next_generation(&agent).await.expect("it is committed");
    let before = record(&spool, id).await;
    let (epoch, incarnation) = (spool.epoch(), spool.incarnation());
    let Some(spool) = subject.crash(spool).await else { return };
    assert!(spool.epoch() > epoch);
    assert_eq!(spool.incarnation(), incarnation);
    assert_eq!(record(&spool, id).await, before);
    let again = spool.accept(keyed(&draft, now, "k", 1)).await.expect("it is answered");
    assert_eq!(again, Acceptance::Replayed { id, status: Status::Queued });
    assert!(spool.next_generation(&agent).await.expect("it is committed") > generation);
    assert!(spool.keys().await.expect("it can be read").is_empty());
    assert_eq!(lease_one(&spool, now).await.message(), waiting);
    assert_whole(&spool).await;
}

/// An agent's journal may still prove that nothing was begun.
pub async fn an_attempt_open_at_a_crash_is_in_doubt_until_evidence_comes(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let open = agent_attempt(&delivery, "alpha", "one");
    spool.begin(&open).await.expect("it is recorded");
    let Some(spool) = subject.crash(spool).await else { return };
    let found = record(&spool, delivery.message()).await;
    assert_eq!((found.status(), found.summary.in_doubt), (Status::Sending, true));
    assert_eq!(found.attempts[0].outcome.as_deref(), Some("in_doubt"));
    assert_eq!(spool.stats().await.expect("it can be read").duplicates_bound(), 1);
    assert!(spool.lease(9, now + seconds(1)).await.expect("it can be read").is_empty());
    let unsettled = spool.unsettled(&"one".parse().expect("a name")).await;
    assert_eq!(unsettled.expect("it can be read")[0].id, open.id);
    let wait = Lane::transactional().doubt_wait;
    let resend = lease_one(&spool, now + wait + seconds(30)).await;
    assert!(resend.is_in_doubt() && resend.next_number() == 2);
    let Some(spool) = subject.crash(spool).await else { return };
    let amended = spool.amend(open.id, &not_started(), &retry(now)).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    let again = lease_one(&spool, now).await;
    assert!(!again.is_in_doubt());
    assert_whole(&spool).await;
}

/// Only as long as it lives may the same request be put again, under the key it had.
pub async fn how_long_a_key_lives_is_known_to_later_leases(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let mut delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let lives = [Some(now + seconds(60)), None, Some(now + seconds(90))];
    let until = now + seconds(1);
    for key_until in &lives[..2] {
        let keyed = Attempt { key_until: *key_until, request: 1, ..attempt(&delivery, "alpha") };
        spool.begin(&keyed).await.expect("it is recorded");
        let wait = Transition::Ask { at: until, until };
        spool.end(&keyed, &doubtful(), &wait).await.expect("it is closed");
        delivery = lease_one(&spool, until).await;
    }
    let known = |delivery: &Delivery| -> Vec<_> {
        delivery.history.iter().map(|past| (past.request, past.key_until)).collect()
    };
    assert_eq!(known(&delivery), [(1, lives[0]), (1, lives[1])]);
    let open = Attempt { key_until: lives[2], ..attempt(&delivery, "alpha") };
    spool.begin(&open).await.expect("it is recorded");
    let Some(spool) = subject.crash(spool).await else { return };
    let delivery = lease_one(&spool, now + seconds(600)).await;
    assert_eq!(known(&delivery), [(1, lives[0]), (1, lives[1]), (3, lives[2])]);
    let found = spool.attempt(open.id).await.expect("it can be read").expect("it is in doubt");
    assert_eq!(found.attempt, open);
}

/// Whatever ends it afterwards.
pub async fn a_resend_open_at_a_crash_is_listed_as_a_possible_duplicate(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let until = now + seconds(60);
    try_once(&spool, &delivery, &doubtful(), &Transition::Doubt { until }).await;
    let resend = agent_attempt(&lease_one(&spool, until).await, "alpha", "one");
    assert!(resend.possible_duplicate);
    spool.begin(&resend).await.expect("it is recorded");
    let Some(spool) = subject.crash(spool).await else { return };
    let amended = spool.amend(resend.id, &accepted(), &Transition::Accepted).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    let page = spool.search(&Search::default()).await.expect("it can be read");
    assert!(page.messages[0].possible_duplicate, "{page:?}");
    assert!(record(&spool, delivery.message()).await.summary.possible_duplicate);
}

/// Its epoch is over.
pub async fn the_owner_before_can_commit_nothing(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let old = attempt(&delivery, "alpha");
    let Some(spool) = subject.crash(spool).await else { return };
    let current = lease_one(&spool, now).await;
    assert!(spool.begin(&old).await.is_err());
    let new = attempt(&current, "beta");
    spool.begin(&new).await.expect("it is recorded");
    assert!(spool.end(&old, &accepted(), &Transition::Accepted).await.is_err());
    spool.end(&new, &accepted(), &Transition::Accepted).await.expect("it is closed");
    assert_eq!(status(&spool, delivery.message()).await, Status::Accepted);
}
