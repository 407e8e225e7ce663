//! Claims about evidence that comes late.

use shivneri_core::{Attempt, Outcome, Receipt, Transition};

use super::{Subject, fixture::*};
use crate::{Amended, Evidence, Park, Retention, Sighting, Status};

/// By the agent's word nothing was begun.
pub async fn what_was_not_started_is_due_at_once_and_not_in_doubt(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let until = now + seconds(60);
    let doubt = Transition::Doubt { until };
    let attempt = try_once(&spool, &delivery, &doubtful(), &doubt).await;
    assert_eq!(spool.stats().await.expect("it can be read").duplicates_bound(), 1);
    let amended = spool.amend(attempt.id, &not_started(), &retry(now)).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    assert_eq!(spool.stats().await.expect("it can be read").duplicates_bound(), 0);
    let record = record(&spool, delivery.message()).await;
    assert_eq!((record.status(), record.summary.in_doubt), (Status::Queued, false));
    assert_eq!(record.attempts[0].outcome.as_deref(), Some("not_started"));
    let again = lease_one(&spool, now).await;
    assert!(!again.is_in_doubt());
    try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    assert!(spool.lease(9, until + seconds(1)).await.expect("it can be read").is_empty());
    assert_whole(&spool).await;
}

/// Both while it waits and after it was given up.
pub async fn a_late_acceptance_moves_even_what_ended_in_doubt(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let waits = Transition::Doubt { until: now + seconds(60) };
    let given_up = Transition::InDoubt { reason: "on_doubt is hold".into() };
    for transition in [waits, given_up] {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let attempt = try_once(&spool, &delivery, &doubtful(), &transition).await;
        let amended = spool.amend(attempt.id, &accepted(), &Transition::Accepted).await;
        assert_eq!(amended.expect("it is committed"), Amended::Moved);
        let record = record(&spool, delivery.message()).await;
        assert_eq!((record.status(), record.summary.in_doubt), (Status::Accepted, false));
        assert_eq!(record.attempts[0].provider_message_id.as_deref(), Some("provider-id-1"));
        let again = spool.amend(attempt.id, &accepted(), &Transition::Accepted).await;
        assert_eq!(again.expect("it is answered"), Amended::Unchanged, "once");
    }
    assert!(spool.lease(9, now + seconds(99)).await.expect("it can be read").is_empty());
    assert_whole(&spool).await;
}

/// As long as it can be. It was never sent, so it is no possible duplicate.
pub async fn mail_given_up_in_doubt_and_proven_unsent_is_sent(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let given_up = Transition::InDoubt { reason: "on_doubt is hold".into() };
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let attempt = try_once(&spool, &delivery, &doubtful(), &given_up).await;
    let amended = spool.amend(attempt.id, &not_started(), &retry(now)).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    let found = record(&spool, delivery.message()).await;
    assert_eq!((found.status(), found.summary.in_doubt), (Status::Queued, false));
    let again = lease_one(&spool, now).await;
    assert!(!again.is_in_doubt());
    try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    assert!(!record(&spool, delivery.message()).await.summary.possible_duplicate);

    let old = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let attempt = try_once(&spool, &old, &doubtful(), &given_up).await;
    let at_once = Retention { body: seconds(0), ..Retention::default() };
    spool.collect(at_once, now + seconds(3600)).await.expect("it is committed");
    let amended = spool.amend(attempt.id, &not_started(), &retry(now)).await;
    assert_eq!(amended.expect("it is committed"), Amended::Closed, "there is nothing to send");
    assert_eq!(status(&spool, old.message()).await, Status::InDoubt);
    assert_whole(&spool).await;
}

/// Nor is an attempt that nobody knows.
pub async fn a_certain_end_is_not_amended(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let transition = Transition::Rejected { reason: "bad content".into() };
    let closed = try_once(&spool, &delivery, &rejected(), &transition).await;
    let unknown = attempt(&delivery, "alpha");
    for id in [closed.id, unknown.id] {
        let amended = spool.amend(id, &accepted(), &Transition::Accepted).await;
        assert_eq!(amended.expect("it is answered"), Amended::Unchanged);
        assert!(spool.attempt(id).await.expect("it can be read").is_none());
    }
    assert_eq!(status(&spool, delivery.message()).await, Status::Rejected);
}

/// The resend's own end is still recorded, but whatever it is, the mail is accepted.
pub async fn a_late_acceptance_stops_a_resend_that_is_under_way(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let first = try_once(&spool, &delivery, &doubtful(), &Transition::Doubt { until: now }).await;
    let again = lease_one(&spool, now).await;
    let second = attempt(&again, "beta");
    spool.begin(&second).await.expect("it is recorded");
    let amended = spool.amend(first.id, &accepted(), &Transition::Accepted).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    let stats = spool.stats().await.expect("it can be read");
    assert_eq!((stats.unfinished(), stats.open_attempts), (0, 1), "it is accepted already");
    spool.end(&second, &unavailable(), &retry(now)).await.expect("it is closed");
    let record = record(&spool, delivery.message()).await;
    assert_eq!(record.status(), Status::Accepted);
    assert_eq!(record.attempts[1].outcome.as_deref(), Some("unavailable"));
    assert!(spool.lease(9, now + seconds(99)).await.expect("it can be read").is_empty());
    assert_whole(&spool).await;
}

/// As a look-up does. Evidence that came before it leaves nothing to clear up.
pub async fn the_holder_of_a_lease_clears_up_its_doubt_once(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let asking = Transition::Ask { at: now, until: now + seconds(60) };
    let doubt = try_once(&spool, &delivery, &doubtful(), &asking).await;
    let asked = lease_one(&spool, now).await;
    assert!(asked.is_in_doubt());
    let cleared = spool.clear_up(doubt.id, &accepted(), &Transition::Accepted).await;
    cleared.expect("it is committed");
    let found = record(&spool, delivery.message()).await;
    assert_eq!((found.status(), found.summary.in_doubt), (Status::Accepted, false));
    assert_eq!(spool.stats().await.expect("it can be read").duplicates_bound(), 0);
    assert!(spool.clear_up(doubt.id, &accepted(), &Transition::Accepted).await.is_err());
    assert!(spool.lease(9, now + seconds(99)).await.expect("it can be read").is_empty());
    assert_whole(&spool).await;
}

/// Where the later one was marked as a possible duplicate; the same request by its key is none,
/// though it is marked as well.
pub async fn a_second_acceptance_is_a_confirmed_duplicate(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let confirmed =
        async || spool.stats().await.expect("the spool can be read").confirmed_duplicates;
    for (by_key, under_way, expected) in
        [(true, false, 0), (true, true, 0), (false, false, 1), (false, true, 2)]
    {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let doubt = Transition::Doubt { until: now };
        let first = try_once(&spool, &delivery, &doubtful(), &doubt).await;
        let again = lease_one(&spool, now).await;
        let second = attempt(&again, "alpha");
        let second = if by_key {
            Attempt { request: first.request, repetition: true, ..second }
        } else {
            second
        };
        spool.begin(&second).await.expect("it is recorded");
        let late = async || {
            let amended = spool.amend(first.id, &accepted(), &Transition::Accepted).await;
            amended.expect("it is committed")
        };
        if under_way {
            assert_eq!(late().await, Amended::Moved);
        }
        spool.end(&second, &accepted(), &Transition::Accepted).await.expect("it is closed");
        if !under_way {
            let expected = if by_key { Amended::Unchanged } else { Amended::Closed };
            assert_eq!(late().await, expected, "the answer to the request was one to both");
        }
        assert_eq!(confirmed().await, expected);
    }
    let stats = spool.stats().await.expect("the spool can be read");
    assert_eq!(stats.possible_duplicates, 2, "a repetition is not one more mail");
    assert_whole(&spool).await;
}

/// Those that are open, and those in doubt.
pub async fn an_agents_unsettled_attempts_are_listed(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let mut expected = Vec::new();
    for (agent, end) in
        [("one", None), ("one", Some(doubtful())), ("one", Some(unavailable())), ("two", None)]
    {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let attempt = agent_attempt(&delivery, "alpha", agent);
        spool.begin(&attempt).await.expect("it is recorded");
        if agent == "one" && end.as_ref().is_none_or(|end| end.word() == "in_doubt") {
            expected.push(attempt.id);
        }
        if let Some(end) = end {
            let later = retry(now + seconds(60));
            spool.end(&attempt, &end, &later).await.expect("it is closed");
        }
    }
    let agent = "one".parse().expect("it is a name");
    let listed = spool.unsettled(&agent).await.expect("it can be read");
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|one| one.generation == 3 && one.journal.as_u128() == 7));
}

/// So that the decision sees what the dispatcher saw.
pub async fn late_evidence_finds_the_delivery_as_it_was_before(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let first = try_once(&spool, &delivery, &unavailable(), &retry(now)).await;
    let again = lease_one(&spool, now).await;
    let second = agent_attempt(&again, "beta", "one");
    spool.begin(&second).await.expect("it is recorded");
    let found = spool.attempt(second.id).await.expect("it can be read").expect("it is open");
    assert_eq!(found.attempt, second);
    let history: Vec<_> = found.delivery.history.iter().map(|past| past.id).collect();
    assert_eq!((history, found.delivery.next_number()), (vec![first.id], 2));
    assert_eq!(found.delivery.email, again.email);
    assert_eq!(found.delivery.id, delivery.id);
    let doubt = Transition::Doubt { until: now + seconds(60) };
    spool.end(&second, &doubtful(), &doubt).await.expect("it is closed");
    let found = spool.attempt(second.id).await.expect("it can be read").expect("it is in doubt");
    assert!(!found.delivery.is_in_doubt(), "it was not, before this attempt");
}

/// What was decided on older evidence is decided again.
pub async fn a_lease_from_before_late_evidence_does_nothing_more(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let given_up = Transition::InDoubt { reason: "sent again twice".into() };
    for by_attempt in [true, false] {
        let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
        let doubt = Transition::Doubt { until: now };
        let first = try_once(&spool, &delivery, &doubtful(), &doubt).await;
        let stale = lease_one(&spool, now).await;
        assert!(stale.is_in_doubt());
        let amended = spool.amend(first.id, &not_started(), &retry(now)).await;
        assert_eq!(amended.expect("it is committed"), Amended::Moved);
        let refused = if by_attempt {
            spool.begin(&attempt(&stale, "alpha")).await
        } else {
            spool.settle(stale.id, &given_up).await
        };
        assert!(refused.is_err(), "the evidence is newer than the lease");
        let fresh = lease_one(&spool, now).await;
        assert_eq!((fresh.id, fresh.is_in_doubt()), (stale.id, false));
        try_once(&spool, &fresh, &accepted(), &Transition::Accepted).await;
        assert!(!record(&spool, delivery.message()).await.summary.possible_duplicate);
    }
    assert_whole(&spool).await;
}

/// And no sooner than the evidence says.
pub async fn a_lease_from_before_late_evidence_is_given_back_as_the_evidence_says(
    subject: &dyn Subject,
) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let doubt = Transition::Doubt { until: now };
    let first = try_once(&spool, &delivery, &doubtful(), &doubt).await;
    let stale = lease_one(&spool, now).await;
    let at = now + seconds(30);
    spool.amend(first.id, &not_started(), &retry(at)).await.expect("it is committed");
    let park = Park { until: now + seconds(600), reason: "nobody can take it".into() };
    spool.release(stale.id, park);
    assert!(spool.lease(9, at - seconds(1)).await.expect("it can be read").is_empty());
    assert_eq!(lease_one(&spool, at).await.id, delivery.id);
}

/// Its recipients can't be told apart as long as all of them are with another provider. Whoever
/// brings the word brings it again.
pub async fn word_of_some_recipients_is_taken_once_the_resend_has_its_end(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    let doubt = Transition::Doubt { until: now };
    let first = try_once(&spool, &delivery, &doubtful(), &doubt).await;
    let again = lease_one(&spool, now).await;
    let second = attempt(&again, "beta");
    spool.begin(&second).await.expect("it is recorded");
    let deferred = vec!["c@x.org".parse().expect("it is an address")];
    let some = Outcome::Accepted(Receipt { deferred, ..Receipt::new("1") });
    for _ in 0..2 {
        let amended = spool.amend(first.id, &some, &Transition::Accepted).await;
        assert!(amended.is_err(), "{amended:?}");
    }
    assert!(spool.attempt(first.id).await.expect("it can be read").is_some(), "still in doubt");
    spool.end(&second, &unavailable(), &retry(now + seconds(30))).await.expect("it is closed");
    let amended = spool.amend(first.id, &some, &Transition::Accepted).await;
    assert_eq!(amended.expect("it is committed"), Amended::Moved);
    let found = record(&spool, delivery.message()).await;
    let each: Vec<_> = found.recipients.iter().map(|one| one.status).collect();
    assert_eq!((each, found.summary.in_doubt), (vec![Status::Accepted, Status::Queued], false));
    assert_eq!(spool.stats().await.expect("it can be read").duplicates_bound(), 0);
    let rest = lease_one(&spool, now + seconds(60)).await;
    assert_eq!((rest.email.envelope().recipients().len(), rest.is_in_doubt()), (1, false));
    assert_eq!(rest.email.envelope().recipients()[0].as_str(), "c@x.org");
    assert_whole(&spool).await;
}

/// The look-up found that the provider had it and took none of its recipients yet.
pub async fn what_a_look_up_finds_deferred_is_due_again(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    let asking = Transition::Ask { at: now, until: now + seconds(60) };
    let doubt = try_once(&spool, &delivery, &doubtful(), &asking).await;
    let asked = lease_one(&spool, now).await;
    let deferred = asked.email.envelope().recipients().to_vec();
    let none = Outcome::Accepted(Receipt { deferred, ..Receipt::new("1") });
    let cleared = spool.clear_up(doubt.id, &none, &Transition::Accepted).await;
    cleared.expect("it is committed");
    assert!(spool.lease(9, now).await.expect("it can be read").is_empty(), "it was deferred");
    let again = lease_one(&spool, now + seconds(60)).await;
    assert_eq!((again.id, again.is_in_doubt()), (delivery.id, false));
    try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    assert_eq!(status(&spool, delivery.message()).await, Status::Accepted);
    assert_whole(&spool).await;
}

/// The event came while the resend was under way.
pub async fn a_resend_taken_after_an_event_is_a_confirmed_duplicate(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    try_once(&spool, &delivery, &doubtful(), &Transition::Doubt { until: now }).await;
    let again = attempt(&lease_one(&spool, now).await, "beta");
    spool.begin(&again).await.expect("it is recorded");
    let (message, sighting) = (delivery.message(), Sighting::Delivered);
    let seen = Evidence { message, recipient: None, sighting, at: now };
    spool.observe(&seen).await.expect("it is committed");
    spool.end(&again, &accepted(), &Transition::Accepted).await.expect("it is closed");
    assert_eq!(spool.stats().await.expect("it can be read").confirmed_duplicates, 1);
    assert_whole(&spool).await;
}
