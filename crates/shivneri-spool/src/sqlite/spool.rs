//! The embedded spool's face.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use shivneri_core::{
    AgentId, Attempt, AttemptId, AttemptLog, Delivery, DeliveryId, Lane, LogError, MessageId,
    Outcome, Transition, UnsettledAttempt,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Sqlite, ledger::Prepared, reads};
use crate::{
    Acceptance, Amended, Audit, Change, Collected, Duplicates, Event, Evidence, Incoming,
    MessageRecord, OpenAttempt, Page, Park, Retention, Search, Shelf, Spool, SpoolError,
    SpoolHealth, Stats,
};

#[async_trait]
impl AttemptLog for Sqlite {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        let attempt = attempt.clone();
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("begin.asked");
        self.commit(move |ledger| ledger.begin(&attempt)).await?;
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("begin.committed");
        Ok(())
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        let now = self.shared.clock.now();
        let (attempt, outcome, transition) = (attempt.clone(), outcome.clone(), transition.clone());
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("end.asked");
        self.commit(move |ledger| ledger.end(&attempt, &outcome, &transition, now)).await?;
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("end.committed");
        Ok(())
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        let (transition, now) = (transition.clone(), self.shared.clock.now());
        Ok(self.commit(move |ledger| ledger.settle(delivery, &transition, now)).await?)
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        let (outcome, transition) = (outcome.clone(), transition.clone());
        let now = self.shared.clock.now();
        let cleared = self.commit(move |ledger| {
            ledger.guarded(|ledger| ledger.clear_up(attempt, &outcome, &transition, now))
        });
        cleared.await?.or_refused(attempt)
    }
}

#[async_trait]
impl Spool for Sqlite {
    fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    fn incarnation(&self) -> Uuid {
        self.shared.incarnation
    }

    fn lanes(&self) -> &[Arc<Lane>] {
        &self.shared.lanes.rules
    }

    async fn accept(&self, incoming: Incoming) -> Result<Acceptance, SpoolError> {
        self.check_room()?;
        let lanes = &self.shared.lanes;
        let name = &incoming.message.lane;
        let lane = lanes.rules.iter().position(|lane| lane.name == *name);
        let lane = lane.ok_or_else(|| SpoolError::UnknownLane(name.clone()))?;
        let prepared = Prepared::new(incoming, lane, lanes.ids[lane], &lanes.rules[lane])?;
        let accepted = self.commit(move |ledger| ledger.accept(prepared)).await?;
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("accept.committed");
        Ok(accepted)
    }

    async fn lease(&self, max: usize, now: SystemTime) -> Result<Vec<Delivery>, SpoolError> {
        self.lease_due(max, now).await
    }

    async fn lease_overdue(
        &self,
        max: usize,
        now: SystemTime,
    ) -> Result<Vec<Delivery>, SpoolError> {
        self.lease_decidable(max, now).await
    }

    fn release(&self, delivery: DeliveryId, park: Park) {
        if self.shared.queue().release(delivery, park) {
            self.shared.earlier.notify_one();
        }
    }

    fn unpark(&self) {
        if self.shared.queue().unpark() {
            self.shared.earlier.notify_one();
        }
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.shared.queue().next_due()
    }

    async fn due_changed(&self) {
        self.shared.earlier.notified().await;
    }

    async fn get(&self, id: MessageId) -> Result<Option<MessageRecord>, SpoolError> {
        self.read(move |shared, conn| shared.record(conn, id, shared.clock.now())).await
    }

    async fn search(&self, search: &Search) -> Result<Page, SpoolError> {
        let search = search.clone();
        self.read(move |shared, conn| shared.search(conn, &search, shared.clock.now())).await
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        self.read(move |shared, conn| shared.stats(conn, shared.clock.now())).await
    }

    async fn audit(&self) -> Result<Audit, SpoolError> {
        self.count_all().await
    }

    async fn cancel(&self, id: MessageId, now: SystemTime) -> Result<Change, SpoolError> {
        self.commit(move |ledger| ledger.guarded(|ledger| ledger.cancel(id, now))).await
    }

    async fn requeue(
        &self,
        id: MessageId,
        duplicates: Duplicates,
        now: SystemTime,
    ) -> Result<Change, SpoolError> {
        self.commit(move |ledger| ledger.guarded(|ledger| ledger.requeue(id, duplicates, now)))
            .await
    }

    async fn erase(&self, id: MessageId) -> Result<Change, SpoolError> {
        self.commit(move |ledger| ledger.guarded(|ledger| ledger.erase(id))).await
    }

    async fn observe(&self, evidence: &Evidence) -> Result<Change, SpoolError> {
        let (evidence, now) = (evidence.clone(), self.shared.clock.now());
        self.commit(move |ledger| ledger.guarded(|ledger| ledger.observe(&evidence, now))).await
    }

    async fn attempt(&self, id: AttemptId) -> Result<Option<OpenAttempt>, SpoolError> {
        self.read(move |shared, conn| shared.open_attempt(conn, id)).await
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, SpoolError> {
        let agent = agent.clone();
        self.read(move |_, conn| reads::unsettled(conn, &agent)).await
    }

    async fn amend(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<Amended, SpoolError> {
        let now = self.shared.clock.now();
        let (outcome, transition) = (outcome.clone(), transition.clone());
        self.commit(move |ledger| {
            ledger.guarded(|ledger| ledger.amend(attempt, &outcome, &transition, now))
        })
        .await
    }

    async fn events(&self, after: u64, max: usize) -> Result<Vec<Event>, SpoolError> {
        self.read(move |_, conn| reads::events(conn, after, max)).await
    }

    fn last_event(&self) -> watch::Receiver<u64> {
        self.shared.last_event.subscribe()
    }

    async fn collect(
        &self,
        retention: Retention,
        now: SystemTime,
    ) -> Result<Collected, SpoolError> {
        self.collect_old(retention, now).await
    }

    async fn put(
        &self,
        shelf: Shelf,
        key: &str,
        value: Option<Vec<u8>>,
    ) -> Result<bool, SpoolError> {
        let key = key.to_owned();
        self.commit(move |ledger| {
            ledger.guarded(|ledger| ledger.put(shelf, &key, value.as_deref()))
        })
        .await
    }

    async fn shelf(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        self.read(move |_, conn| {
            conn.prepare_cached("SELECT key, value FROM shelves WHERE shelf = ?1 ORDER BY key")?
                .query_map([shelf.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, SpoolError> {
        let agent = agent.clone();
        self.commit(move |ledger| ledger.guarded(|ledger| ledger.next_generation(&agent))).await
    }

    fn health(&self) -> SpoolHealth {
        SpoolHealth {
            state: self.shared.state().clone(),
            full: self.fullness(),
            commits: self.shared.commits(),
        }
    }

    async fn backup(&self, to: &Path) -> Result<(), SpoolError> {
        let (shared, to) = (Arc::clone(&self.shared), to.to_owned());
        tokio::task::spawn_blocking(move || super::backup(&shared.path, &to))
            .await
            .map_err(|error| SpoolError::Write { reason: error.to_string() })?
    }

    async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let shared = Arc::clone(&self.shared);
        let stopped = tokio::task::spawn_blocking(move || super::finish(&shared, threads)).await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "the spool did not close cleanly");
        }
    }
}
