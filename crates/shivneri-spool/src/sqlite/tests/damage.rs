//! Records that can't be read: each is set aside alone, and nobody else is held up by it.

use std::sync::Arc;

use rusqlite::Connection;
use shivneri_core::{MessageId, Outcome, Receipt, Transition};

use super::OnDisk;
use crate::{Search, Spool, SpoolState, Status, contract::fixture::*};

#[tokio::test]
async fn what_can_not_be_set_aside_keeps_no_other_mail_from_being_leased() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let bad = accept(&spool, &draft(&["b@x.org"]), now).await;
    let good = accept(&spool, &draft(&["c@x.org"]), now).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute("UPDATE bodies SET bytes = substr(bytes, 1, 40) WHERE message = 1", []).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER never BEFORE UPDATE ON deliveries WHEN NEW.state = 19 \
             BEGIN SELECT RAISE(ABORT, 'not now'); END",
        )
        .unwrap();
    let leased = lease_one(&spool, now).await;
    assert_eq!(leased.message(), good);
    try_once(&spool, &leased, &accepted(), &Transition::Accepted).await;
    assert_eq!(status(&spool, bad).await, Status::Queued);
    other.execute_batch("DROP TRIGGER never").unwrap();
    assert!(spool.lease(9, now + seconds(120)).await.unwrap().is_empty());
    assert_eq!(status(&spool, bad).await, Status::Damaged, "its turn came again");
    assert_eq!(spool.audit().await.unwrap().gap(), 0);
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_set_aside_as_well() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let bad = accept(&spool, &draft(&["b@x.org"]), now).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute("UPDATE deliveries SET state = 7", []).unwrap();
    assert!(spool.lease(9, now).await.unwrap().is_empty());
    assert_eq!(status(&spool, bad).await, Status::Damaged);
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.lanes[1].states[&Status::Damaged], stats.unfinished()), (1, 0));
}

/// The first of a message's two parts is damaged before or after the second is leased.
async fn beside_a_damaged_part(damage: &str, is_leased: bool) {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let first = accept_and_lease(&spool, &draft(&["b@x.org", "c@x.org"]), now).await;
    let deferred = vec!["c@x.org".parse().unwrap()];
    let outcome = Outcome::Accepted(Receipt { deferred, ..Receipt::new("1") });
    try_once(&spool, &first, &outcome, &Transition::Accepted).await;
    let later = now + seconds(60);
    let harm = || {
        let other = Connection::open(disk.path()).unwrap();
        let sql = format!("UPDATE deliveries SET {damage} WHERE key = 1 << 12");
        other.execute(&sql, []).unwrap();
    };
    let rest = if is_leased {
        let rest = lease_one(&spool, later).await;
        harm();
        rest
    } else {
        harm();
        lease_one(&spool, later).await
    };
    let attempt = attempt(&rest, "alpha");
    spool.begin(&attempt).await.unwrap();
    spool.end(&attempt, &accepted(), &Transition::Accepted).await.unwrap();
    assert_eq!(spool.health().state, SpoolState::Open, "{damage}");
    let audit = spool.audit().await.unwrap();
    assert_eq!((audit.gap(), audit.stranded), (0, 0), "{audit:?}");
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.lanes[1].states[&Status::Damaged], stats.unfinished()), (1, 0));
    accept(&spool, &draft(&["d@x.org"]), now).await;
}

#[tokio::test]
async fn a_damaged_part_stops_neither_the_spool_nor_the_parts_beside_it() {
    for damage in ["recipients = 'nobody'", "state = 77", "state = 7"] {
        for is_leased in [true, false] {
            beside_a_damaged_part(damage, is_leased).await;
        }
    }
}

/// A message beside another, both taken and not sent, with the first one's rows harmed.
async fn with_damage(sql: &str) -> (OnDisk, Arc<dyn Spool>, [MessageId; 2]) {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let bad = accept(&spool, &draft(&["b@x.org"]), now()).await;
    let good = accept(&spool, &draft(&["c@x.org"]), now()).await;
    let other = Connection::open(disk.path()).unwrap();
    assert_eq!(other.execute(sql, []).unwrap(), 1, "{sql}");
    (disk, spool, [bad, good])
}

#[tokio::test]
async fn a_damaged_message_is_shown_and_listed_and_hides_no_other() {
    for sql in [
        "UPDATE messages SET on_doubt = 7 WHERE row = 1",
        "UPDATE messages SET providers = 'no such name!' WHERE row = 1",
        "UPDATE messages SET subject = CAST(x'ff00fe' AS TEXT) WHERE row = 1",
        "UPDATE deliveries SET marks = 'x' WHERE key = 1 << 12",
        "UPDATE deliveries SET state = 7 WHERE key = 1 << 12",
        "UPDATE bodies SET bytes = x'00' WHERE message = 1",
    ] {
        let (_disk, spool, [bad, good]) = with_damage(sql).await;
        for when in ["before its turn", "set aside"] {
            let shown = spool.get(bad).await.unwrap().expect(sql);
            assert_eq!(shown.id(), bad, "{sql}");
            let all = spool.search(&Search::default()).await.unwrap().messages;
            let listed: Vec<_> = all.iter().map(|one| one.id).collect();
            assert_eq!(listed, [good, bad], "{sql}, {when}");
            let leased = spool.lease(9, now() + seconds(1)).await.unwrap();
            assert!(leased.iter().all(|one| one.message() == good), "{sql}");
        }
        let aside = Search { status: Some(Status::Damaged), ..Search::default() };
        let listed = spool.search(&aside).await.unwrap().messages;
        assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [bad], "{sql}");
        assert_eq!(status(&spool, bad).await, Status::Damaged, "{sql}");
        assert_eq!(spool.audit().await.unwrap().gap(), 0, "{sql}");
    }
}

/// Whom it goes to stands in the body as well.
#[tokio::test]
async fn a_damaged_list_of_recipients_is_shown_as_it_is_and_the_mail_is_sent() {
    let harm = "UPDATE messages SET recipients = 'nobody' WHERE row = 1";
    let (_disk, spool, [bad, _]) = with_damage(harm).await;
    let leased = spool.lease(9, now() + seconds(1)).await.unwrap();
    let sent = leased.iter().find(|one| one.message() == bad).expect("it is sent");
    assert_eq!(sent.email.envelope().recipients()[0].as_str(), "b@x.org");
    let shown = spool.get(bad).await.unwrap().expect("it is shown");
    assert_eq!(shown.summary.recipients, ["nobody"]);
    assert_eq!(spool.search(&Search::default()).await.unwrap().messages.len(), 2);
}
