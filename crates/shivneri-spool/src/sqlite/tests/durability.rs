use std::sync::Arc;

use rusqlite::Connection;
use shivneri_core::{Lane, Transition};

use super::OnDisk;
use crate::{
    Duplicates, OpenError, Options, Retention, Search, Spool, SpoolError, SpoolState, Sqlite,
    Status, contract::fixture::*,
};

#[tokio::test]
async fn a_second_owner_is_refused_and_told_the_first_ones_pid() {
    let disk = OnDisk::new();
    let first = disk.open();
    match Sqlite::open(disk.path(), Options::default()) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    first.close().await;
    assert!(Sqlite::open(disk.path(), Options::default()).is_ok(), "it was given up");
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let disk = OnDisk::new();
    drop(disk.open());
    Connection::open(disk.path()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    match Sqlite::open(disk.path(), Options::default()) {
        Err(OpenError::Newer { found: 99, known: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_directory_is_named() {
    let disk = OnDisk::new();
    let file = disk.path().join("spool.db");
    std::fs::write(disk.path(), "a file").unwrap();
    let error = Sqlite::open(&file, Options::default()).unwrap_err();
    assert!(error.to_string().contains(&*disk.path().to_string_lossy()), "{error}");
}

#[tokio::test]
async fn mail_in_a_lane_that_is_gone_is_not_opened() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    accept(&spool, &draft(&["b@x.org"]), now()).await;
    drop(spool);
    let options = Options { lanes: vec![Lane::bulk()], ..Options::default() };
    match Sqlite::open(disk.path(), options) {
        Err(OpenError::MissingLane { lane }) => assert_eq!(lane, "transactional"),
        other => panic!("{other:?}"),
    }
    assert!(Sqlite::open(disk.path(), Options::default()).is_ok());
}

#[tokio::test]
async fn a_damaged_body_is_set_aside_and_holds_up_nobody() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let bad = accept(&spool, &draft(&["b@x.org"]), now).await;
    let good = accept(&spool, &draft(&["c@x.org"]), now).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute("UPDATE bodies SET bytes = substr(bytes, 1, 40) WHERE message = 1", []).unwrap();
    assert_eq!(lease_one(&spool, now).await.message(), good);
    let record = record(&spool, bad).await;
    assert_eq!((record.status(), record.email.is_none()), (Status::Damaged, true));
    assert!(spool.lease(9, now + seconds(99)).await.unwrap().is_empty());
    let audit = spool.audit().await.unwrap();
    assert_eq!((audit.states[&Status::Damaged], audit.gap()), (1, 0));
    assert_eq!(spool.stats().await.unwrap().lanes[1].states[&Status::Damaged], 1);
}

#[tokio::test]
async fn a_damaged_address_is_set_aside_too() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let bad = accept(&spool, &draft(&["b@x.org"]), now).await;
    let good = accept(&spool, &draft(&["c@x.org"]), now).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute("UPDATE deliveries SET recipients = 'nobody' WHERE key = 1 << 12", []).unwrap();
    assert_eq!(lease_one(&spool, now).await.message(), good);
    assert_eq!(spool.audit().await.unwrap().states[&Status::Damaged], 1);
    let found = spool.search(&Search::default()).await.unwrap();
    assert_eq!(found.messages.iter().map(|one| one.id).collect::<Vec<_>>(), [good, bad]);
    let later = now + seconds(86_400 * 40);
    assert!(spool.collect(Retention::default(), later).await.is_ok());
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_accepted_or_leased_any_more() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    accept(&spool, &draft(&["b@x.org"]), now).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute_batch("DROP TABLE bodies").unwrap();
    let failed = spool.accept(incoming(&draft(&["b@x.org"]), now)).await;
    assert!(matches!(failed, Err(SpoolError::Poisoned { .. })), "{failed:?}");
    assert!(matches!(spool.health().state, SpoolState::Poisoned { .. }));
    assert!(matches!(spool.lease(1, now).await, Err(SpoolError::Poisoned { .. })));
    let later = spool.accept(incoming(&draft(&["b@x.org"]), now)).await;
    assert!(matches!(later, Err(SpoolError::Poisoned { .. })));
}

#[tokio::test]
async fn a_full_spool_takes_no_more_and_says_why() {
    let disk = OnDisk::new();
    let options = Options { max_messages: 2, ..Options::default() };
    let spool: Arc<dyn Spool> = Sqlite::open(disk.path(), options).unwrap();
    let now = now();
    accept(&spool, &draft(&["b@x.org"]), now).await;
    accept(&spool, &draft(&["b@x.org"]), now).await;
    let refused = spool.accept(incoming(&draft(&["b@x.org"]), now)).await;
    assert!(matches!(refused, Err(SpoolError::Full { .. })), "{refused:?}");
    assert!(spool.health().full.is_some());
    for delivery in spool.lease(9, now).await.unwrap() {
        try_once(&spool, &delivery, &accepted(), &Transition::Accepted).await;
    }
    accept(&spool, &draft(&["b@x.org"]), now).await;

    let disk = OnDisk::new();
    let options = Options { min_free_disk: u64::MAX, ..Options::default() };
    let spool: Arc<dyn Spool> = Sqlite::open(disk.path(), options).unwrap();
    let refused = spool.accept(incoming(&draft(&["b@x.org"]), now)).await;
    assert!(matches!(refused, Err(SpoolError::Full { .. })), "{refused:?}");
}

#[tokio::test]
async fn all_that_is_unfinished_in_a_restored_copy_is_in_doubt() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let now = now();
    let sent = accept_and_lease(&spool, &draft(&["b@x.org"]), now).await;
    try_once(&spool, &sent, &accepted(), &Transition::Accepted).await;
    let waiting = accept(&spool, &draft(&["b@x.org"]), now).await;
    let directory = disk.0.path().join("copy");
    std::fs::create_dir(&directory).unwrap();
    let copy = directory.join("spool.db");
    spool.backup(&copy).await.unwrap();
    assert!(spool.backup(&copy).await.is_err(), "a file that is there is not written over");
    assert_eq!(status(&spool, waiting).await, Status::Queued, "the original goes on");
    let restored: Arc<dyn Spool> = Sqlite::open(&copy, Options::default()).unwrap();
    assert_ne!(restored.incarnation(), spool.incarnation());
    assert_eq!(status(&restored, sent.message()).await, Status::Accepted);
    assert_eq!(status(&restored, waiting).await, Status::InDoubt);
    assert!(restored.lease(9, now).await.unwrap().is_empty());
    restored.requeue(waiting, Duplicates::Accept, now).await.unwrap();
    assert_eq!(lease_one(&restored, now).await.message(), waiting);
    assert_whole(&restored).await;
}
