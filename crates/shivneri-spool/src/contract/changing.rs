//! Claims about what people and providers change from outside.

use shivneri_core::Transition;

use super::{Subject, fixture::*};
use crate::{Change, Duplicates, Evidence, Status, spool::Sighting};

fn is_refused(change: &Change) -> bool {
    matches!(change, Change::Refused { .. })
}

/// Not while an attempt is open or in doubt, and not after its end.
pub async fn mail_is_cancelled_only_before_it_is_sent(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let fresh = accept(&spool, &draft(&["b@example.org"]), now).await;
    assert_eq!(spool.cancel(fresh, now).await.expect("it is answered"), Change::Done);
    assert_eq!(status(&spool, fresh).await, Status::Cancelled);
    assert!(is_refused(&spool.cancel(fresh, now).await.expect("it is answered")));
    assert!(spool.lease(9, now).await.expect("it can be read").is_empty());

    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let attempt = attempt(&delivery, "alpha");
    spool.begin(&attempt).await.expect("it is recorded");
    let id = delivery.message();
    assert!(is_refused(&spool.cancel(id, now).await.expect("it is answered")), "open");
    let doubt = Transition::Doubt { until: now };
    spool.end(&attempt, &doubtful(), &doubt).await.expect("it is closed");
    assert!(is_refused(&spool.cancel(id, now).await.expect("it is answered")), "in doubt");
    let unknown = shivneri_core::MessageId::new();
    assert_eq!(spool.cancel(unknown, now).await.expect("it is answered"), Change::NotFound);
    assert_whole(&spool).await;
}

/// The dispatcher finds out when it asks to begin.
pub async fn a_cancelled_lease_begins_no_attempt(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let change = spool.cancel(delivery.message(), now).await;
    assert_eq!(change.expect("it is answered"), Change::Done);
    assert!(spool.begin(&attempt(&delivery, "alpha")).await.is_err());
    assert_eq!(status(&spool, delivery.message()).await, Status::Cancelled);
}

/// What is requeued begins anew: its history counts no more, its time is whole again.
pub async fn failed_mail_is_requeued_and_doubtful_mail_only_by_word(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let refuse = Duplicates::Refuse;
    let failed = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let transition = Transition::Rejected { reason: "bad content".into() };
    try_once(&spool, &failed, &rejected(), &transition).await;
    let later = now + seconds(100);
    let change = spool.requeue(failed.message(), refuse, later).await;
    assert_eq!(change.expect("it is answered"), Change::Done);
    let again = lease_one(&spool, later).await;
    assert_eq!((again.next_number(), again.failures()), (2, 0));
    assert_eq!(again.deadline, later + again.lane.max_age);
    try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    let change = spool.requeue(failed.message(), refuse, later).await;
    assert!(is_refused(&change.expect("it is answered")), "nothing of it failed");

    let held = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let transition = Transition::InDoubt { reason: "on_doubt is hold".into() };
    try_once(&spool, &held, &doubtful(), &transition).await;
    let id = held.message();
    assert!(is_refused(&spool.requeue(id, refuse, later).await.expect("it is answered")));
    let change = spool.requeue(id, Duplicates::Accept, later).await;
    assert_eq!(change.expect("it is answered"), Change::Done);
    let again = lease_one(&spool, later).await;
    assert!(!again.is_in_doubt() && again.overruled, "a person's word outweighs it");
    assert!(record(&spool, id).await.summary.possible_duplicate);
    assert_whole(&spool).await;
}

/// The others are not sent it again.
pub async fn a_bounced_recipient_is_requeued_alone(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    try_once(&spool, &delivery, &accepted(), &Transition::Accepted).await;
    let id = delivery.message();
    let recipient = Some("c@x.org".parse().expect("it is an address"));
    let bounced = Evidence { message: id, recipient, sighting: Sighting::Bounced, at: now };
    assert_eq!(spool.observe(&bounced).await.expect("it is answered"), Change::Done);
    assert_eq!(status(&spool, id).await, Status::Bounced);
    let change = spool.requeue(id, Duplicates::Refuse, now).await;
    assert_eq!(change.expect("it is answered"), Change::Done);
    let again = lease_one(&spool, now).await;
    let recipients = again.email.envelope().recipients();
    assert_eq!(recipients.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["c@x.org"]);
    try_once(&spool, &again, &accepted(), &Transition::Accepted).await;
    assert_eq!(status(&spool, id).await, Status::Accepted);
    assert_whole(&spool).await;
}

/// Not while an attempt is open.
pub async fn erased_mail_is_gone_and_counted(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let id = delivery.message();
    let attempt = attempt(&delivery, "alpha");
    spool.begin(&attempt).await.expect("it is recorded");
    assert!(is_refused(&spool.erase(id).await.expect("it is answered")));
    spool.end(&attempt, &unavailable(), &retry(now)).await.expect("it is closed");
    assert_eq!(spool.erase(id).await.expect("it is answered"), Change::Done);
    assert_eq!(spool.erase(id).await.expect("it is answered"), Change::NotFound);
    assert!(spool.get(id).await.expect("it can be read").is_none());
    assert!(spool.lease(9, now).await.expect("it can be read").is_empty());
    let audit = spool.audit().await.expect("it can be read");
    assert_eq!((audit.accepted, audit.purged, audit.gap()), (1, 1, 0));
}

/// And a doubt is settled by it.
pub async fn evidence_moves_a_recipient_only_forward(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    let id = delivery.message();
    let of = |recipient: Option<&str>, sighting| Evidence {
        message: id,
        recipient: recipient.map(|text| text.parse().expect("it is an address")),
        sighting,
        at: now,
    };
    let early = spool.observe(&of(None, Sighting::Delivered)).await;
    assert!(is_refused(&early.expect("it is answered")), "nobody has taken it");
    let transition = Transition::InDoubt { reason: "on_doubt is hold".into() };
    try_once(&spool, &delivery, &doubtful(), &transition).await;
    let steps = [
        (Some("b@x.org"), Sighting::Delivered, Status::Delivered, Status::Accepted),
        (Some("b@x.org"), Sighting::Complained, Status::Complained, Status::Accepted),
        (Some("b@x.org"), Sighting::Delivered, Status::Complained, Status::Accepted),
        (None, Sighting::Delivered, Status::Complained, Status::Delivered),
        (Some("c@x.org"), Sighting::Bounced, Status::Complained, Status::Bounced),
    ];
    for (recipient, sighting, first, second) in steps {
        let change = spool.observe(&of(recipient, sighting)).await;
        assert_eq!(change.expect("it is answered"), Change::Done);
        let record = record(&spool, id).await;
        let statuses: Vec<_> = record.recipients.iter().map(|one| one.status).collect();
        assert_eq!(statuses, [first, second], "{recipient:?} {sighting:?}");
        assert!(!record.summary.in_doubt);
    }
    assert_whole(&spool).await;
}
