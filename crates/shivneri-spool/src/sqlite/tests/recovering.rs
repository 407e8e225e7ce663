//! Damage that is met by whoever takes over, and by evidence that comes late.

use std::{collections::HashSet, sync::Arc};

use rusqlite::Connection;
use shivneri_core::{Attempt, Outcome, Receipt, Transition};

use super::OnDisk;
use crate::{Amended, Change, Evidence, Search, Sighting, Spool, Status, contract::fixture::*};

async fn harm(disk: &OnDisk, spool: Arc<dyn Spool>, sql: &str) -> Arc<dyn Spool> {
    spool.close().await;
    drop(spool);
    assert_eq!(Connection::open(disk.path()).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
    disk.open()
}

#[tokio::test]
async fn a_damaged_record_keeps_no_spool_from_being_opened() {
    for sql in [
        "UPDATE messages SET on_doubt = 7 WHERE row = 1",
        "UPDATE messages SET recipients = 'nobody' WHERE row = 1",
        "UPDATE messages SET id = x'00' WHERE row = 1",
        "UPDATE deliveries SET state = 77 WHERE key = 1 << 12",
        "UPDATE deliveries SET state = 7 WHERE key = 1 << 12",
        "UPDATE deliveries SET attempts = -1 WHERE key = 1 << 12",
        "UPDATE deliveries SET recipients = 'nobody' WHERE key = 1 << 12",
        "UPDATE attempts SET on_doubt = 7 WHERE delivery = 1 << 12",
        "UPDATE attempts SET provider = 'no such name!' WHERE delivery = 1 << 12",
        "UPDATE attempts SET number = -1 WHERE delivery = 1 << 12",
        "UPDATE attempts SET id = x'00' WHERE delivery = 1 << 12",
    ] {
        let disk = OnDisk::new();
        let spool: Arc<dyn Spool> = disk.open();
        let mut open = Vec::new();
        for _ in 0..2 {
            let delivery = accept_and_lease(&spool, &draft(&["b@x.org"]), now()).await;
            let attempt = agent_attempt(&delivery, "alpha", "one");
            spool.begin(&attempt).await.unwrap();
            open.push(attempt);
        }
        let spool = harm(&disk, spool, sql).await;
        assert_eq!(status(&spool, open[1].message).await, Status::Sending, "{sql}");
        let stats = spool.stats().await.unwrap();
        assert_eq!(stats.lanes[1].states.get(&Status::Damaged), Some(&1), "{sql}");
        assert_eq!((stats.unfinished(), stats.duplicates_bound()), (1, 2), "{sql}");
        let audit = spool.audit().await.unwrap();
        assert_eq!((audit.gap(), audit.stranded), (0, 0), "{sql}: {audit:?}");
        assert_eq!(audit.states.get(&Status::Damaged), Some(&1), "{sql}: {audit:?}");
        for (status, listed) in [(None, 2), (Some(Status::Damaged), 1)] {
            let search = Search { status, ..Search::default() };
            assert_eq!(spool.search(&search).await.unwrap().messages.len(), listed, "{sql}");
        }
        let told = spool.events(0, 99).await.unwrap();
        let told: HashSet<_> = told.iter().map(|event| event.message).collect();
        assert!(told.len() == 2 && told.contains(&open[1].message), "{sql}: {told:?}");
        spool.close().await;
        drop(spool);
        let spool: Arc<dyn Spool> = disk.open();
        let stats = spool.stats().await.unwrap();
        assert_eq!(stats.lanes[1].states[&Status::Damaged], 1, "{sql}");
        assert_eq!((stats.unfinished(), stats.duplicates_bound()), (1, 2), "{sql}");
        assert!(spool.lease(9, now() + seconds(5)).await.unwrap().is_empty(), "{sql}");
        accept(&spool, &draft(&["d@x.org"]), now()).await;
    }
}

/// A message to two: the first's part is taken for good, the second's has an attempt.
async fn two_parts(spool: &Arc<dyn Spool>) -> Attempt {
    let first = accept_and_lease(spool, &draft(&["b@x.org", "c@x.org"]), now()).await;
    let deferred = vec!["c@x.org".parse().unwrap()];
    let outcome = Outcome::Accepted(Receipt { deferred, ..Receipt::new("1") });
    try_once(spool, &first, &outcome, &Transition::Accepted).await;
    let rest = lease_one(spool, now() + seconds(60)).await;
    let attempt = agent_attempt(&rest, "alpha", "one");
    spool.begin(&attempt).await.unwrap();
    attempt
}

#[tokio::test]
async fn evidence_beside_a_damaged_part_settles_the_healthy_one() {
    for damage in ["recipients = 'nobody'", "state = 77", "state = 7"] {
        let sql = format!("UPDATE deliveries SET {damage} WHERE key = 1 << 12");
        for by_attempt in [true, false] {
            let disk = OnDisk::new();
            let spool: Arc<dyn Spool> = disk.open();
            let attempt = two_parts(&spool).await;
            let spool = harm(&disk, spool, &sql).await;
            let found = spool.attempt(attempt.id).await.unwrap().expect("it is in doubt");
            assert_eq!(found.attempt, attempt);
            let seen = Evidence {
                message: attempt.message,
                recipient: Some("c@x.org".parse().unwrap()),
                sighting: Sighting::Accepted,
                at: now(),
            };
            if by_attempt {
                let amended = spool.amend(attempt.id, &accepted(), &Transition::Accepted).await;
                assert_eq!(amended.unwrap(), Amended::Moved, "{damage}");
            } else {
                assert_eq!(spool.observe(&seen).await.unwrap(), Change::Done, "{damage}");
            }
            let stats = spool.stats().await.unwrap();
            assert_eq!((stats.unfinished(), stats.duplicates_bound()), (0, 0), "{damage}");
            assert_eq!(status(&spool, attempt.message).await, Status::Damaged, "{damage}");
            let recipients = spool.get(attempt.message).await.unwrap().unwrap().recipients;
            let second = recipients.iter().find(|one| one.delivery == attempt.delivery).unwrap();
            assert_eq!(second.status, Status::Accepted, "{damage}");
            let kept: String = Connection::open(disk.path())
                .unwrap()
                .query_row("SELECT recipients FROM deliveries", [], |row| row.get(0))
                .unwrap();
            assert_eq!(kept, if damage.starts_with("rec") { "nobody" } else { "b@x.org" });
            assert_eq!(spool.audit().await.unwrap().gap(), 0, "{damage}");
            assert_eq!(spool.erase(attempt.message).await.unwrap(), Change::Done, "{damage}");
        }
    }
}

#[tokio::test]
async fn evidence_about_an_attempt_of_a_damaged_part_is_taken_once() {
    let harms = ["state = 77", "recipients = 'nobody'"];
    for (outcome, damage) in
        [accepted(), not_started()].iter().flat_map(|outcome| harms.map(|harm| (outcome, harm)))
    {
        let disk = OnDisk::new();
        let spool: Arc<dyn Spool> = disk.open();
        let delivery = accept_and_lease(&spool, &draft(&["b@x.org"]), now()).await;
        let attempt = agent_attempt(&delivery, "alpha", "one");
        spool.begin(&attempt).await.unwrap();
        let spool = harm(&disk, spool, &format!("UPDATE deliveries SET {damage}")).await;
        let amended = spool.amend(attempt.id, outcome, &retry(now())).await;
        assert_eq!(amended.unwrap(), Amended::Closed);
        let amended = spool.amend(attempt.id, outcome, &retry(now())).await;
        assert_eq!(amended.unwrap(), Amended::Unchanged);
        let stats = spool.stats().await.unwrap();
        assert_eq!((stats.unfinished(), stats.duplicates_bound()), (0, 0));
        assert_eq!(status(&spool, attempt.message).await, Status::Damaged);
    }
}

#[tokio::test]
async fn a_damaged_record_keeps_no_copy_from_being_restored() {
    for sql in [
        "UPDATE messages SET on_doubt = 7 WHERE row = 1",
        "UPDATE deliveries SET recipients = 'nobody' WHERE key = 1 << 12",
    ] {
        let disk = OnDisk::new();
        let spool: Arc<dyn Spool> = disk.open();
        let bad = accept(&spool, &draft(&["b@x.org"]), now()).await;
        let good = accept(&spool, &draft(&["c@x.org"]), now()).await;
        let restored = "INSERT OR REPLACE INTO meta (name, value) VALUES ('restored', 1)";
        Connection::open(disk.path()).unwrap().execute(restored, []).unwrap();
        let spool = harm(&disk, spool, sql).await;
        assert_eq!(status(&spool, bad).await, Status::Damaged, "{sql}");
        assert_eq!(status(&spool, good).await, Status::InDoubt, "{sql}");
        assert_eq!(spool.audit().await.unwrap().gap(), 0, "{sql}");
    }
}
