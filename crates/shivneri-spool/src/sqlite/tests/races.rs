//! Changes from outside and leases that meet: what one commit has decided, no lease undoes.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use shivneri_core::{Delivery, Transition};
use tokio::time::Instant;

use super::OnDisk;
use crate::{Amended, Change, Duplicates, Spool, SpoolError, Status, contract::fixture::*};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_but_not_committed_yet_is_leased_to_nobody() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let face: Arc<dyn Spool> = spool.clone();
    let now = now();
    let id = accept(&face, &draft(&["b@x.org"]), now).await;
    let (applied, is_applied) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let writing = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move {
            spool
                .commit(move |ledger| {
                    let change = ledger.guarded(|ledger| ledger.cancel(id, now));
                    applied.send(()).unwrap();
                    may_go.recv().unwrap();
                    change
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || is_applied.recv().unwrap()).await.unwrap();
    assert!(face.lease(9, now).await.unwrap().is_empty(), "its row still shows it queued");
    assert!(face.lease_overdue(9, now + seconds(86_400 * 9)).await.unwrap().is_empty());
    go.send(()).unwrap();
    assert_eq!(writing.await.unwrap().unwrap(), Change::Done);
    assert!(face.lease(9, now).await.unwrap().is_empty());
    assert_eq!(status(&face, id).await, Status::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_but_is_not_committed_yet_is_leased_to_nobody() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let face: Arc<dyn Spool> = spool.clone();
    let now = now();
    let delivery = accept_and_lease(&face, &draft(&["b@x.org"]), now).await;
    let attempt = attempt(&delivery, "alpha");
    face.begin(&attempt).await.unwrap();
    let (applied, is_applied) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let writing = tokio::spawn({
        let spool = Arc::clone(&spool);
        async move {
            spool
                .commit(move |ledger| {
                    let ended = ledger.end(&attempt, &accepted(), &Transition::Accepted, now);
                    applied.send(()).unwrap();
                    may_go.recv().unwrap();
                    ended
                })
                .await
        }
    });
    tokio::task::spawn_blocking(move || is_applied.recv().unwrap()).await.unwrap();
    let leased = face.lease_overdue(9, now + seconds(86_400 * 9)).await.unwrap();
    assert!(leased.is_empty(), "its row still shows it queued");
    go.send(()).unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(status(&face, delivery.message()).await, Status::Accepted);
}

/// Leases a moment later, each round another one, so that some lease falls into the commit.
async fn lease_later(spool: &Arc<dyn Spool>, round: u32) -> Result<Vec<Delivery>, SpoolError> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(25) * (round % 32) {
        tokio::task::yield_now().await;
    }
    spool.lease(9, now() + seconds(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_is_both_cancelled_and_sent_however_close_the_lease() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let begun = Instant::now();
    for round in 0..400 {
        if begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        let now = now();
        let id = accept(&spool, &draft(&["b@x.org"]), now).await;
        let (cancelled, leased) = tokio::join!(spool.cancel(id, now), lease_later(&spool, round));
        for delivery in leased.unwrap() {
            if spool.begin(&attempt(&delivery, "alpha")).await.is_ok() {
                assert_ne!(*cancelled.as_ref().unwrap(), Change::Done, "round {round}");
            }
        }
        assert_eq!(cancelled.unwrap(), Change::Done, "nothing was begun before");
        assert_eq!(status(&spool, id).await, Status::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_is_both_found_accepted_and_sent_again_however_close_the_lease() {
    let disk = OnDisk::new();
    let spool: Arc<dyn Spool> = disk.open();
    let begun = Instant::now();
    for round in 0..400 {
        if begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        let now = now();
        let first = accept_and_lease(&spool, &draft(&["b@x.org"]), now).await;
        let doubt = Transition::Doubt { until: now };
        let first = try_once(&spool, &first, &doubtful(), &doubt).await;
        let (outcome, transition) = (accepted(), Transition::Accepted);
        let (amended, leased) =
            tokio::join!(spool.amend(first.id, &outcome, &transition), lease_later(&spool, round));
        assert_eq!(amended.unwrap(), Amended::Moved);
        for delivery in leased.unwrap() {
            assert!(spool.begin(&attempt(&delivery, "beta")).await.is_err(), "round {round}");
        }
        assert_eq!(status(&spool, first.message).await, Status::Accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_requeued_while_it_is_looked_at_is_not_forgotten() {
    let disk = OnDisk::new();
    let spool = disk.open();
    let face: Arc<dyn Spool> = spool.clone();
    let now = now();
    let id = accept(&face, &draft(&["b@x.org"]), now).await;
    face.cancel(id, now).await.unwrap();
    // Its entry from before the cancel is still among what is due.
    let keys = spool.shared.queue().take(9, now);
    assert_eq!(keys.len(), 1);
    let requeued = face.requeue(id, Duplicates::Refuse, now).await.unwrap();
    assert_eq!(requeued, Change::Done);
    for (lane, key) in keys {
        let mut queue = spool.shared.queue();
        assert!(!queue.holds(lane, key, now), "what was read before the requeue");
    }
    assert_eq!(lease_one(&face, now).await.message(), id);
    assert_eq!(face.audit().await.unwrap().stranded, 0);
}
