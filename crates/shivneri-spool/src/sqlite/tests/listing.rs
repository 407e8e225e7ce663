//! Lists, events, counts and the audit over records that can't be read.

use std::sync::Arc;

use rusqlite::Connection;
use shivneri_core::{MessageId, Transition};

use super::OnDisk;
use crate::sqlite::aside::Bad;
use crate::{Change, Search, Spool, Status, contract::fixture::*};

/// A message that was accepted by a provider, beside one that waits, with this harm done.
async fn with_damage(sql: &str) -> (OnDisk, Arc<dyn Spool>, [MessageId; 2]) {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let sent = accept_and_lease(&spool, &draft(&["b@x.org"]), now()).await;
    try_once(&spool, &sent, &accepted(), &Transition::Accepted).await;
    let waits = accept(&spool, &draft(&["c@x.org"]), now()).await;
    let other = Connection::open(disk.path()).unwrap();
    assert_eq!(other.execute(sql, []).unwrap(), 1, "{sql}");
    (disk, spool, [sent.message(), waits])
}

async fn listed(spool: &Arc<dyn Spool>, status: Option<Status>) -> Vec<MessageId> {
    let search = Search { status, ..Search::default() };
    let found = spool.search(&search).await.unwrap().messages;
    found.iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn a_message_whose_id_is_damaged_is_listed_and_set_aside_under_another() {
    for row in [1, 2] {
        let (_disk, spool, ids) =
            with_damage(&format!("UPDATE messages SET id = x'00' WHERE row = {row}")).await;
        let all = listed(&spool, None).await;
        assert_eq!(all.len(), 2, "row {row}");
        let [known, lost] = if row == 1 { [ids[1], all[1]] } else { [ids[0], all[0]] };
        assert!(all.contains(&known) && !ids.contains(&lost), "row {row}: {all:?}");
        let shown = spool.get(lost).await.unwrap().expect("it is found by what it is listed as");
        assert_eq!(shown.id(), lost);
        let told = spool.events(0, 9).await.unwrap();
        let of = |id| told.iter().filter(|event| event.message == id).count();
        assert_eq!((told.len(), of(known) + of(lost)), (3, 3), "row {row}");
        let leased = spool.lease(9, now() + seconds(1)).await.unwrap();
        assert_eq!(leased.len(), if row == 1 { 1 } else { 0 });
        let audit = spool.audit().await.unwrap();
        assert_eq!((audit.gap(), audit.stranded), (0, 0), "row {row}: {audit:?}");
        if row == 2 {
            assert_eq!(listed(&spool, Some(Status::Damaged)).await, [lost]);
            assert_eq!(audit.states[&Status::Damaged], 1);
        }
    }
}

#[tokio::test]
async fn the_audit_sets_aside_a_status_that_nobody_knows_and_counts_on() {
    for (state, row) in [(77, 1), (7, 1), (77, 2), (7, 2)] {
        let sql = format!("UPDATE deliveries SET state = {state} WHERE key = {row} << 12");
        let (_disk, spool, ids) = with_damage(&sql).await;
        for _ in 0..2 {
            let audit = spool.audit().await.expect(&sql);
            assert_eq!((audit.gap(), audit.stranded), (0, 0), "{sql}: {audit:?}");
            assert_eq!(audit.states.get(&Status::Damaged), Some(&1), "{sql}: {audit:?}");
        }
        assert_eq!(listed(&spool, Some(Status::Damaged)).await, [ids[row - 1]], "{sql}");
        let stats = spool.stats().await.unwrap();
        let states = &stats.lanes[1].states;
        assert_eq!((states[&Status::Damaged], states.values().sum::<u64>()), (1, 2), "{sql}");
        let leased = spool.lease(9, now() + seconds(1)).await.unwrap();
        assert!(leased.iter().all(|one| one.message() != ids[row - 1]), "{sql}");
        assert_eq!(leased.len(), 2 - row, "{sql}");
    }
}

#[tokio::test]
async fn an_audit_leaves_alone_what_is_being_sent() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let delivery = accept_and_lease(&spool, &draft(&["b@x.org"]), now()).await;
    let attempt = attempt(&delivery, "alpha");
    spool.begin(&attempt).await.unwrap();
    let other = Connection::open(disk.path()).unwrap();
    other.execute("UPDATE deliveries SET state = 7", []).unwrap();
    assert_eq!(spool.audit().await.unwrap().gap(), 0);
    spool.end(&attempt, &accepted(), &Transition::Accepted).await.unwrap();
    assert_eq!(
        status(&spool, delivery.message()).await,
        Status::Accepted,
        "its lease knows better"
    );
    let audit = spool.audit().await.unwrap();
    assert_eq!((audit.gap(), &audit.states), (0, &[(Status::Accepted, 1)].into()));
}

#[tokio::test]
async fn an_event_that_can_not_be_read_is_passed_over() {
    let (_disk, spool, ids) = with_damage("UPDATE events SET status = 77 WHERE sequence = 1").await;
    let told = spool.events(0, 1).await.unwrap();
    let told: Vec<_> = told.iter().map(|event| (event.sequence, event.message)).collect();
    assert_eq!(told, [(2, ids[0])], "a reader that asks for one at a time goes on");
}

#[tokio::test]
async fn mail_whose_lane_is_damaged_is_shown_and_listed() {
    let (_disk, spool, ids) = with_damage("UPDATE messages SET lane = 99 WHERE row = 1").await;
    assert_eq!(listed(&spool, None).await, [ids[1], ids[0]]);
    assert_eq!(status(&spool, ids[0]).await, Status::Accepted);
}

#[tokio::test]
async fn a_damaged_message_is_erased_by_the_id_it_is_listed_under() {
    for harm in ["id = x'00'", "on_doubt = 7", "recipients = 'nobody'"] {
        let (_disk, spool, ids) =
            with_damage(&format!("UPDATE messages SET {harm} WHERE row = 1")).await;
        let lost = listed(&spool, None).await[1];
        assert_eq!(spool.erase(lost).await.unwrap(), Change::Done, "{harm}");
        assert_eq!(listed(&spool, None).await, [ids[1]], "{harm}");
        let audit = spool.audit().await.unwrap();
        assert_eq!((audit.purged, audit.gap()), (1, 0), "{harm}: {audit:?}");
    }
}

/// Its holder has ended while the audit was still counting others.
#[tokio::test]
async fn what_was_written_anew_since_it_was_read_is_not_set_aside() {
    let disk = OnDisk::new();
    let sqlite = disk.open();
    let spool: Arc<dyn Spool> = sqlite.clone();
    accept(&spool, &draft(&["b@x.org"]), now()).await;
    let bad = Bad { lane: Some(1), key: 1 << 12, reason: "it was damaged".into() };
    sqlite.lay_aside(vec![bad]).await.unwrap();
    assert_eq!(listed(&spool, Some(Status::Damaged)).await, []);
    assert_eq!(spool.lease(9, now() + seconds(1)).await.unwrap().len(), 1);
    assert_whole(&spool).await;
}
