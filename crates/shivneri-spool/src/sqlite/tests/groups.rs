use std::sync::Arc;

use tokio::sync::oneshot;

use super::OnDisk;
use crate::{
    Acceptance, Spool,
    contract::fixture::{draft, incoming, now, record},
    sqlite::{Ledger, Sqlite},
};

/// Keeps the writer in one operation until it is told to go on, so that what is handed over
/// meanwhile is the next group.
struct Busy {
    go_on: std::sync::mpsc::Sender<()>,
    held: tokio::task::JoinHandle<()>,
}

impl Busy {
    async fn keep(spool: &Arc<Sqlite>) -> Self {
        let (go_on, told) = std::sync::mpsc::channel();
        let (begun, has_begun) = oneshot::channel();
        let spool = Arc::clone(spool);
        let held = tokio::spawn(async move {
            let operation = move |_: &mut Ledger<'_>| {
                begun.send(()).unwrap();
                told.recv().unwrap();
                Ok(())
            };
            spool.commit(operation).await.unwrap();
        });
        has_begun.await.unwrap();
        Self { go_on, held }
    }

    async fn end(self) {
        self.go_on.send(()).unwrap();
        self.held.await.unwrap();
    }
}

/// Waits until that many operations wait for the writer.
async fn handed_over(spool: &Sqlite, operations: usize) {
    let jobs = spool.jobs.lock().unwrap().clone().unwrap();
    while jobs.max_capacity() - jobs.capacity() < operations {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_callers_share_a_commit() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let busy = Busy::keep(&spool).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let spool = Arc::clone(&spool);
        callers.spawn(async move { spool.accept(incoming(&draft(&["b@x.org"]), now())).await });
    }
    handed_over(&spool, 200).await;
    busy.end().await;
    while let Some(accepted) = callers.join_next().await {
        assert!(matches!(accepted.unwrap(), Ok(Acceptance::New { .. })));
    }
    let commits = spool.health().commits;
    assert_eq!((commits.operations, commits.commits), (201, 2), "{commits:?}");
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
    // From now on no mail can be written, and what else is in its group must go with it.
    other.execute_batch("DROP TABLE bodies").unwrap();
    let busy = Busy::keep(&spool).await;
    let put = |number: u32| {
        let spool = Arc::clone(&spool);
        async move { spool.put(crate::Shelf::Providers, &number.to_string(), Some(vec![1])).await }
    };
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..25 {
        puts.spawn(put(number));
    }
    handed_over(&spool, 25).await;
    let failing = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move { spool.accept(incoming(&draft(&["b@x.org"]), now())).await }
    });
    handed_over(&spool, 26).await;
    for number in 25..50 {
        puts.spawn(put(number));
    }
    handed_over(&spool, 51).await;
    busy.end().await;
    assert!(failing.await.unwrap().is_err());
    for put in puts.join_all().await {
        assert!(put.is_err(), "acknowledged, although its commit failed");
    }
    let kept: i64 = other.query_row("SELECT count(*) FROM shelves", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 0, "kept, although its group failed");
}
