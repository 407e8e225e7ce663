//! The model of a durable queue: commits take time, and a crash takes those that were not made.
//!
//! What is handed over waits for its group's commit, is applied as a whole when that is done, and
//! is answered a little later. A crash before the commit leaves nothing of it; a crash between
//! commit and answer leaves all of it, and nobody told.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::FutureExt;
use shivneri_core::{
    AgentId, Attempt, AttemptId, AttemptLog, Delivery, DeliveryId, Lane, LogError, MessageId,
    Outcome, Transition, UnsettledAttempt, draws::Draws,
};
use shivneri_spool::{
    Acceptance, Amended, Audit, Change, Collected, Duplicates, Event, Evidence, Incoming, Memory,
    MessageRecord, OpenAttempt, Page, Park, Retention, Search, Shelf, Spool, SpoolError,
    SpoolHealth, Stats,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use uuid::Uuid;

use crate::{
    net::{Net, SERVER},
    watch::Watch,
};

/// Answers once its group's answers are given.
type Reply = Box<dyn FnOnce() + Send>;
/// Does its part of a commit.
type Job = Box<dyn FnOnce(&Memory) -> Reply + Send>;

const GROUP: usize = 64;

/// A queue on the server's disk, as one process of the server has it open.
#[derive(Debug)]
pub(crate) struct Disked {
    memory: Arc<Memory>,
    jobs: mpsc::Sender<Job>,
    watch: Arc<Watch>,
}

/// Commits what is handed over, as long as the process lives.
pub(crate) struct Committer {
    memory: Arc<Memory>,
    jobs: mpsc::Receiver<Job>,
    draws: Draws,
    net: Net,
    slow: Arc<Mutex<bool>>,
}

impl Disked {
    pub(crate) fn open(
        memory: Arc<Memory>,
        watch: Arc<Watch>,
        seed: u64,
        net: Net,
        slow: Arc<Mutex<bool>>,
    ) -> (Arc<Self>, Committer) {
        let (sender, jobs) = mpsc::channel(1024);
        let committer =
            Committer { memory: Arc::clone(&memory), jobs, draws: Draws::new(seed), net, slow };
        (Arc::new(Self { memory, jobs: sender, watch }), committer)
    }

    async fn commit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Memory) -> T + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            let result = work(memory);
            Box::new(move || {
                // Whoever asked may have left; it is done all the same.
                let _ = answer.send(result);
            })
        });
        self.jobs.send(job).await.map_err(|_| SpoolError::Closed)?;
        answered.await.map_err(|_| SpoolError::Closed)
    }
}

impl Committer {
    pub(crate) async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.jobs.recv_many(&mut group, GROUP).await > 0 {
            self.takes(6_000).await;
            let replies: Vec<Reply> = group.drain(..).map(|job| job(&self.memory)).collect();
            self.takes(1_000).await;
            for reply in replies {
                reply();
            }
        }
    }

    async fn takes(&mut self, longest: usize) {
        let slow = *self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = if slow { longest * 100 } else { longest };
        sleep(Duration::from_micros(self.draws.below(longest) as u64)).await;
        while self.net.is_frozen(SERVER) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The model's own calls are done at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the model waits for nothing")
}

#[async_trait]
impl AttemptLog for Disked {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.watch.begins(attempt, &self.memory);
        let begun = attempt.clone();
        self.commit(move |memory| now(memory.begin(&begun))).await?
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.watch.ends(attempt, outcome);
        let (ended, outcome, transition) = (attempt.clone(), outcome.clone(), transition.clone());
        let commit = self.commit(move |memory| now(memory.end(&ended, &outcome, &transition)));
        commit.await??;
        self.watch.closed(attempt.id);
        Ok(())
    }

    async fn settle(&self, delivery: DeliveryId, transition: &Transition) -> Result<(), LogError> {
        let transition = transition.clone();
        self.commit(move |memory| now(memory.settle(delivery, &transition))).await?
    }

    async fn clear_up(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<(), LogError> {
        self.watch.amends(attempt, outcome);
        let (outcome, transition) = (outcome.clone(), transition.clone());
        self.commit(move |memory| now(memory.clear_up(attempt, &outcome, &transition))).await?
    }
}

#[async_trait]
impl Spool for Disked {
    fn epoch(&self) -> u64 {
        self.memory.epoch()
    }

    fn incarnation(&self) -> Uuid {
        self.memory.incarnation()
    }

    fn lanes(&self) -> &[Arc<Lane>] {
        self.memory.lanes()
    }

    async fn accept(&self, incoming: Incoming) -> Result<Acceptance, SpoolError> {
        self.commit(move |memory| now(memory.accept(incoming))).await?
    }

    async fn lease(&self, max: usize, at: SystemTime) -> Result<Vec<Delivery>, SpoolError> {
        self.memory.lease(max, at).await
    }

    async fn lease_overdue(&self, max: usize, at: SystemTime) -> Result<Vec<Delivery>, SpoolError> {
        self.memory.lease_overdue(max, at).await
    }

    fn release(&self, delivery: DeliveryId, park: Park) {
        self.memory.release(delivery, park);
    }

    fn unpark(&self) {
        self.memory.unpark();
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.memory.next_due()
    }

    async fn due_changed(&self) {
        self.memory.due_changed().await;
    }

    async fn get(&self, id: MessageId) -> Result<Option<MessageRecord>, SpoolError> {
        self.memory.get(id).await
    }

    async fn search(&self, search: &Search) -> Result<Page, SpoolError> {
        self.memory.search(search).await
    }

    async fn stats(&self) -> Result<Stats, SpoolError> {
        self.memory.stats().await
    }

    async fn audit(&self) -> Result<Audit, SpoolError> {
        self.memory.audit().await
    }

    async fn cancel(&self, id: MessageId, at: SystemTime) -> Result<Change, SpoolError> {
        self.commit(move |memory| now(memory.cancel(id, at))).await?
    }

    async fn requeue(
        &self,
        id: MessageId,
        duplicates: Duplicates,
        at: SystemTime,
    ) -> Result<Change, SpoolError> {
        self.commit(move |memory| now(memory.requeue(id, duplicates, at))).await?
    }

    async fn erase(&self, id: MessageId) -> Result<Change, SpoolError> {
        self.commit(move |memory| now(memory.erase(id))).await?
    }

    async fn observe(&self, evidence: &Evidence) -> Result<Change, SpoolError> {
        let evidence = evidence.clone();
        self.commit(move |memory| now(memory.observe(&evidence))).await?
    }

    async fn attempt(&self, id: AttemptId) -> Result<Option<OpenAttempt>, SpoolError> {
        self.memory.attempt(id).await
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, SpoolError> {
        self.memory.unsettled(agent).await
    }

    async fn amend(
        &self,
        attempt: AttemptId,
        outcome: &Outcome,
        transition: &Transition,
    ) -> Result<Amended, SpoolError> {
        self.watch.amends(attempt, outcome);
        let (outcome, transition) = (outcome.clone(), transition.clone());
        self.commit(move |memory| now(memory.amend(attempt, &outcome, &transition))).await?
    }

    async fn events(&self, after: u64, max: usize) -> Result<Vec<Event>, SpoolError> {
        self.memory.events(after, max).await
    }

    fn last_event(&self) -> watch::Receiver<u64> {
        self.memory.last_event()
    }

    async fn collect(&self, retention: Retention, at: SystemTime) -> Result<Collected, SpoolError> {
        self.commit(move |memory| now(memory.collect(retention, at))).await?
    }

    async fn put(
        &self,
        shelf: Shelf,
        key: &str,
        value: Option<Vec<u8>>,
    ) -> Result<bool, SpoolError> {
        let key = key.to_owned();
        self.commit(move |memory| now(memory.put(shelf, &key, value))).await?
    }

    async fn shelf(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        self.memory.shelf(shelf).await
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, SpoolError> {
        let agent = agent.clone();
        self.commit(move |memory| now(memory.next_generation(&agent))).await?
    }

    fn health(&self) -> SpoolHealth {
        self.memory.health()
    }

    async fn backup(&self, to: &Path) -> Result<(), SpoolError> {
        self.memory.backup(to).await
    }

    async fn close(&self) {
        self.memory.close().await;
    }
}
