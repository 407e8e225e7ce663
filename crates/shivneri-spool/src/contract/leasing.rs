//! Claims about what is due and who has it.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{
    Attempt, Awaiting, Delivery, Lane, OnDoubt, Transition, decision, draft::Draft,
};

use super::{Subject, fixture::*};
use crate::{Park, Spool, Status};

async fn fill(spool: &Arc<dyn Spool>, lane: &str, count: u64, from: SystemTime) {
    for index in 0..count {
        let draft = Draft { lane: Some(lane.into()), ..draft(&["b@example.org"]) };
        accept(spool, &draft, from + seconds(index)).await;
    }
}

async fn lease(spool: &Arc<dyn Spool>, max: usize, at: SystemTime) -> Vec<Delivery> {
    spool.lease(max, at).await.expect("the spool can be read")
}

/// What is leased is leased to nobody else, at whatever time.
pub async fn a_delivery_is_leased_to_one_caller(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    fill(&spool, "transactional", 20, now).await;
    let late = now + seconds(60);
    let (one, two) = tokio::join!(lease(&spool, 15, late), lease(&spool, 15, late));
    let mut ids: Vec<_> = one.iter().chain(&two).map(|delivery| delivery.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), one.len() + two.len()), (20, 20));
    assert!(lease(&spool, 10, late + seconds(1_000_000)).await.is_empty());
}

/// All critical mail first; of the rest bulk gets its share too.
pub async fn urgent_mail_goes_first_and_bulk_is_not_starved(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    fill(&spool, "bulk", 20, now).await;
    fill(&spool, "transactional", 20, now + seconds(30)).await;
    fill(&spool, "critical", 3, now + seconds(60)).await;
    let leased = lease(&spool, 15, now + seconds(100)).await;
    let lanes: Vec<&str> = leased.iter().map(|delivery| delivery.lane.name.as_str()).collect();
    assert_eq!(lanes[..3], ["critical"; 3]);
    let count = |lane| lanes.iter().filter(|one| **one == lane).count();
    assert!(count("bulk") >= 2, "{lanes:?}");
    assert!(count("transactional") > count("bulk"), "{lanes:?}");
}

/// By the time they became due.
pub async fn within_a_lane_the_oldest_goes_first(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let mut ids = Vec::new();
    for after in [50, 10, 30, 20, 40] {
        ids.push((after, accept(&spool, &draft(&["b@example.org"]), now + seconds(after)).await));
    }
    ids.sort();
    let mut leased = lease(&spool, 3, now + seconds(100)).await;
    leased.extend(lease(&spool, 3, now + seconds(100)).await);
    let order: Vec<_> = leased.iter().map(Delivery::message).collect();
    assert_eq!(order, ids.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

/// It shows as scheduled until its time.
pub async fn scheduled_mail_is_not_leased_early(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let at = now + seconds(3600);
    let scheduled = Draft { send_at: Some(at), ..draft(&["b@example.org"]) };
    let id = accept(&spool, &scheduled, now).await;
    let shown = record(&spool, id).await;
    assert_eq!((shown.status(), shown.send_at), (Status::Scheduled, Some(at)));
    assert_eq!(shown.waiting.map(|waiting| waiting.until), Some(at));
    assert_eq!(spool.next_due(), Some(at));
    assert!(lease(&spool, 10, at - seconds(1)).await.is_empty());
    assert_eq!(lease_one(&spool, at).await.message(), id);
}

/// What comes past it is leased too: its end is the courier's to settle.
pub async fn the_deadline_is_the_wish_or_the_lanes_age(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let age = Lane::transactional().max_age;
    let send_at = now + seconds(3600);
    let wish = send_at + seconds(60);
    for (send_at, expires_at, deadline) in [
        (None, None, now + age),
        (Some(send_at), None, send_at + age),
        (Some(send_at), Some(wish), wish),
    ] {
        let draft = Draft { send_at, expires_at, ..draft(&["b@example.org"]) };
        accept(&spool, &draft, now).await;
        assert_eq!(lease_one(&spool, deadline + seconds(1)).await.deadline, deadline);
    }
}

/// The lease's end is in memory; the reason and the time are shown.
pub async fn a_released_delivery_waits_for_its_time_and_says_why(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let until = now + seconds(10);
    let reason = "no provider is active".to_owned();
    spool.release(delivery.id, Park { until, reason: reason.clone() });
    let shown = record(&spool, delivery.message()).await;
    assert_eq!(shown.status(), Status::Queued);
    assert_eq!(shown.waiting.map(|waiting| (waiting.reason, waiting.until)), Some((reason, until)));
    assert!(lease(&spool, 10, until - seconds(1)).await.is_empty());
    let again = lease_one(&spool, until).await;
    assert_eq!((again.id, again.next_number()), (delivery.id, 1));
    assert_eq!(record(&spool, delivery.message()).await.waiting, None);
}

/// Once only, though it had a later time as well.
pub async fn unparking_makes_what_waits_due(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let until = now + seconds(10);
    spool.release(delivery.id, Park { until, reason: "no provider is active".into() });
    spool.unpark();
    assert_eq!(lease_one(&spool, now).await.id, delivery.id);
    assert!(lease(&spool, 10, until + seconds(1)).await.is_empty());
}

/// Also where it comes while nobody waits yet.
pub async fn new_mail_wakes_who_waits_for_due_mail(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    assert_eq!(spool.next_due(), None);
    accept(&spool, &draft(&["b@example.org"]), now).await;
    spool.due_changed().await;
    assert_eq!(spool.next_due(), Some(now));
    let waiter = Arc::clone(&spool);
    let waiting = tokio::spawn(async move { waiter.due_changed().await });
    accept(&spool, &draft(&["b@example.org"]), now - seconds(5)).await;
    waiting.await.expect("the waiter ends");
    assert_eq!(spool.next_due(), Some(now - seconds(5)));
}

/// Whatever else is due, and though it may be parked.
pub async fn what_needs_a_decision_is_leased_out_of_its_turn(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let brief = Draft { expires_at: Some(now + seconds(30)), ..draft(&["b@example.org"]) };
    let parked = accept_and_lease(&spool, &brief, now).await;
    let until = now + seconds(600);
    spool.release(parked.id, Park { until, reason: "no provider is active".into() });
    let held = Draft { on_doubt: Some(OnDoubt::Hold), ..draft(&["b@example.org"]) };
    let doubt = accept_and_lease(&spool, &held, now).await;
    let waits = Transition::Doubt { until: now + seconds(20) };
    try_once(&spool, &doubt, &doubtful(), &waits).await;
    let again = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    try_once(&spool, &again, &doubtful(), &waits).await;
    accept(&spool, &draft(&["b@example.org"]), now).await;
    let overdue = async |after| {
        let leased = spool.lease_overdue(9, now + seconds(after)).await;
        let leased = leased.expect("the spool can be read");
        leased.iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    assert!(overdue(10).await.is_empty());
    assert_eq!(overdue(20).await, [doubt.id]);
    assert_eq!(overdue(30).await, [parked.id]);
    assert!(overdue(40).await.is_empty(), "both are leased");
    spool.settle(parked.id, &Transition::Expired).await.expect("it is settled");
    assert_eq!(status(&spool, parked.message()).await, Status::Expired);
    spool.release(doubt.id, Park { until, reason: "no provider is active".into() });
    assert_eq!(overdue(40).await, [doubt.id]);
    assert_whole(&spool).await;
}

/// Each has a share of its own.
pub async fn mail_past_its_time_keeps_out_no_doubt_that_has_run_its_course(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let held = Draft { on_doubt: Some(OnDoubt::Hold), ..draft(&["b@example.org"]) };
    let waits = Transition::Doubt { until: now + seconds(20) };
    for _ in 0..2 {
        let doubt = accept_and_lease(&spool, &held, now).await;
        try_once(&spool, &doubt, &doubtful(), &waits).await;
    }
    let brief = Draft { expires_at: Some(now + seconds(10)), ..draft(&["b@example.org"]) };
    for _ in 0..9 {
        accept(&spool, &brief, now).await;
    }
    let leased = spool.lease_overdue(4, now + seconds(30)).await.expect("it can be read");
    let doubts = leased.iter().filter(|delivery| delivery.is_in_doubt()).count();
    assert_eq!((leased.len(), doubts), (4, 2));
    let rest = spool.lease_overdue(9, now + seconds(30)).await.expect("it can be read");
    assert!(rest.iter().all(|delivery| !delivery.is_in_doubt()));
    assert!(!rest.is_empty(), "what is leased already takes up no share");
}

/// It was sent again twice: nothing more is tried. Before, it is sent in its turn.
pub async fn a_doubt_to_be_resent_needs_no_decision_until_its_resends_are_used_up(
    subject: &dyn Subject,
) {
    let (spool, now) = (subject.open().await, now());
    let id = accept(&spool, &draft(&["b@example.org"]), now).await;
    for resent in 0..3 {
        let delivery = lease_one(&spool, now).await;
        try_once(&spool, &delivery, &doubtful(), &Transition::Doubt { until: now }).await;
        let overdue = spool.lease_overdue(9, now).await.expect("it can be read");
        assert_eq!(overdue.len(), usize::from(resent == 2), "after {resent} resends");
        assert!(overdue.iter().all(|delivery| delivery.message() == id));
    }
    accept(&spool, &draft(&["b@example.org"]), now).await;
    for _ in 0..4 {
        // A resend that is repeated under its key, and marked as the resend is.
        let delivery = lease_one(&spool, now).await;
        let resend = delivery.next_number().min(2);
        let repetition = delivery.next_number() > 2;
        let again = Attempt { request: resend, repetition, ..attempt(&delivery, "alpha") };
        spool.begin(&again).await.expect("it is recorded");
        let wait = Transition::Doubt { until: now };
        spool.end(&again, &doubtful(), &wait).await.expect("it is closed");
        let overdue = spool.lease_overdue(9, now).await.expect("it can be read");
        assert!(overdue.is_empty(), "it was sent again once");
    }
}

/// It says until when evidence is awaited, and needs no decision before that is well over.
pub async fn a_doubt_that_is_asked_about_is_due_when_it_is_to_be_asked(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let held = Draft { on_doubt: Some(OnDoubt::Hold), ..draft(&["b@example.org"]) };
    let delivery = accept_and_lease(&spool, &held, now).await;
    let (ask, until) = (now + seconds(15), now + seconds(60));
    try_once(&spool, &delivery, &doubtful(), &Transition::Ask { at: ask, until }).await;
    let shown = record(&spool, delivery.message()).await;
    assert_eq!((shown.status(), shown.summary.in_doubt), (Status::Sending, true));
    assert_eq!(shown.waiting.map(|waiting| waiting.until), Some(until));
    assert!(spool.lease(9, ask - seconds(1)).await.expect("it can be read").is_empty());
    let asked = lease_one(&spool, ask).await;
    assert_eq!(asked.awaiting, Some(Awaiting { ask, until }));
    let next = now + seconds(30);
    spool.settle(asked.id, &Transition::Ask { at: next, until }).await.expect("it is settled");
    assert_eq!(lease_one(&spool, next).await.awaiting, Some(Awaiting { ask: next, until }));
    spool.release(asked.id, Park { until: next, reason: "nobody can be asked".into() });
    let overdue = spool.lease_overdue(9, until).await.expect("it can be read");
    assert!(overdue.is_empty(), "the last look-up may still be made");
    let late = until + decision::LAST_LOOK_UP;
    assert_eq!(spool.lease_overdue(9, late).await.expect("it can be read").len(), 1);
    spool.settle(asked.id, &Transition::Doubt { until }).await.expect("it is settled");
    assert_eq!(lease_one(&spool, until).await.awaiting, None);
}
