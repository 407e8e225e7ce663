use std::sync::Arc;

use super::OnDisk;
use crate::{
    Acceptance, Spool,
    contract::fixture::{draft, incoming, now, record},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_a_commit() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let spool = Arc::clone(&spool);
        callers.spawn(async move { spool.accept(incoming(&draft(&["b@x.org"]), now())).await });
    }
    while let Some(accepted) = callers.join_next().await {
        assert!(matches!(accepted.unwrap(), Ok(Acceptance::New { .. })));
    }
    let commits = spool.health().commits;
    assert_eq!(commits.operations, 200);
    assert!(commits.commits < 100, "{commits:?}");
    assert_eq!(commits.buckets.iter().sum::<u64>(), commits.commits);
}

#[tokio::test]
async fn an_operation_that_is_refused_spoils_no_other_of_its_group() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let first = incoming(&draft(&["b@x.org"]), now());
    let id = first.message.email.id();
    let (one, again, other) = tokio::join!(
        spool.accept(first.clone()),
        spool.accept(first),
        spool.accept(incoming(&draft(&["c@x.org"]), now())),
    );
    assert!(one.is_ok() && again.is_err() && other.is_ok());
    let spool: Arc<dyn Spool> = spool;
    assert_eq!(record(&spool, id).await.id(), id);
    assert_eq!(spool.audit().await.unwrap().accepted, 2);
}

#[tokio::test]
async fn what_was_handed_over_is_committed_although_its_caller_has_gone() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let message = incoming(&draft(&["b@x.org"]), now());
    let id = message.message.email.id();
    {
        let mut accept = std::pin::pin!(spool.accept(message));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(accept.as_mut().poll(cx)));
        assert!(polled.await.is_pending(), "it waits for the commit");
    }
    spool.close().await;
    drop(spool);
    let spool: Arc<dyn Spool> = disk.open();
    assert_eq!(record(&spool, id).await.id(), id);
}

#[tokio::test]
async fn nothing_is_acknowledged_whose_commit_fails() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let other = rusqlite::Connection::open(disk.path()).unwrap();
    // While another holds the database, what is handed over gathers into one group; the mail at
    // its end can't be written.
    other.execute_batch("BEGIN IMMEDIATE; DROP TABLE bodies").unwrap();
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..50 {
        let spool = Arc::clone(&spool);
        puts.spawn(async move {
            let key = number.to_string();
            let put = spool.put(crate::Shelf::Providers, &key, Some(vec![1])).await;
            put.ok().map(|_| key)
        });
    }
    let failing = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move { spool.accept(incoming(&draft(&["b@x.org"]), now())).await }
    });
    // Everything is handed over once each task was polled.
    tokio::task::yield_now().await;
    other.execute_batch("COMMIT").unwrap();
    assert!(failing.await.unwrap().is_err());
    let mut kept = other.prepare("SELECT key FROM shelves").unwrap();
    let kept = kept.query_map([], |row| row.get(0)).unwrap();
    let kept: Vec<String> = kept.collect::<Result<_, _>>().unwrap();
    let mut refused = 0;
    while let Some(put) = puts.join_next().await {
        match put.unwrap() {
            Some(acknowledged) => assert!(kept.contains(&acknowledged), "{acknowledged} is lost"),
            None => refused += 1,
        }
    }
    assert!(refused > 0, "the failed group held nothing else");
}
