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
