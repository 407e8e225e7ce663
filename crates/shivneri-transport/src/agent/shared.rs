//! What all parts of an agent share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shivneri_core::EmailProvider;
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, timeout},
};

use super::{
    AgentOptions,
    link::{Link, Standing},
};
use crate::journal::{Journal, JournalError};

/// Probes and look-ups at once.
const QUESTIONS: usize = 16;
/// The bounds of a pause that a provider asks for, the same as at the server.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) provider: Arc<dyn EmailProvider>,
    pub(super) options: AgentOptions,
    pub(super) journal: Journal,
    /// The window's places.
    pub(super) places: Arc<Semaphore>,
    pub(super) questions: Arc<Semaphore>,
    link: Mutex<Option<Arc<Link>>>,
    running: AtomicUsize,
    /// Until when the provider asked to be left alone.
    throttled: Mutex<Option<Instant>>,
    pub(super) broken: watch::Sender<Option<JournalError>>,
}

impl Shared {
    pub(super) fn new(
        provider: Arc<dyn EmailProvider>,
        options: AgentOptions,
        journal: Journal,
    ) -> Self {
        Self {
            provider,
            places: Arc::new(Semaphore::new(options.window.max(1) as usize)),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            options,
            journal,
            link: Mutex::default(),
            running: AtomicUsize::new(0),
            throttled: Mutex::default(),
            broken: watch::Sender::new(None),
        }
    }

    /// The present connection, where there is one.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_link(&self, link: Arc<Link>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
    }

    /// The connection is gone: nothing offered over it may start any more.
    pub(super) async fn unlink(&self) {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(link) = link {
            link.stand(Standing::Over);
            // The journal refuses it as well, whatever the tasks have seen. Where it can't be
            // asked it refuses everything.
            let _ = self.journal.next_session().await;
        }
    }

    /// Counts a send as running until dropped.
    pub(super) fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    pub(super) fn running(&self) -> u32 {
        u32::try_from(self.running.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// The provider asked for a pause. One that lasts longer already stays.
    ///
    /// The server counts the same pause from when it hears of it, and so ends it later.
    pub(super) fn throttle(&self, retry_after: Option<Duration>) {
        let pause = retry_after.unwrap_or_default().clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let until = Instant::now() + pause;
        let mut throttled = self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        *throttled = (*throttled).max(Some(until));
    }

    /// Whether a pause that the provider asked for is still on.
    pub(super) fn is_throttled(&self) -> bool {
        let throttled = *self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        throttled.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn broke(&self, error: JournalError) {
        self.broken.send_replace(Some(error));
    }
}

#[derive(Debug)]
pub(super) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The tasks that carry offers; they outlive connections, and end with the agent.
#[derive(Debug, Default)]
pub(super) struct Work {
    tasks: JoinSet<()>,
}

impl Work {
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(super) fn is_idle(&mut self) -> bool {
        self.running() == 0
    }

    pub(super) fn running(&mut self) -> usize {
        while let Some(ended) = self.tasks.try_join_next() {
            note(ended);
        }
        self.tasks.len()
    }

    /// Waits until one of them has ended; for ever while there is none. Cancel-safe.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => note(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, or that time is over.
    pub(super) async fn finish(&mut self, within: Duration) {
        let all = async {
            while !self.is_idle() {
                self.one_ended().await;
            }
        };
        if timeout(within, all).await.is_err() {
            tracing::warn!(running = self.running(), "sends were cut off; they are in doubt");
        }
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a task of the agent failed");
    }
}
