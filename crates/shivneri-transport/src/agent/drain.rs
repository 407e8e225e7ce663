//! The wish to leave, and how long it may take.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, sleep_until};

/// Turns from *serving* to *leaving* when the shutdown future is done, and is *over* when the
/// drain's time has passed after that.
pub(super) struct Leaving<F> {
    shutdown: Pin<Box<F>>,
    drain: Duration,
    deadline: Option<Instant>,
}

/// A step on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Asked,
    Over,
}

impl<F: Future<Output = ()>> Leaving<F> {
    pub(super) fn new(shutdown: F, drain: Duration) -> Self {
        Self { shutdown: Box::pin(shutdown), drain, deadline: None }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.deadline.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits for the wish, or once that was seen for the end of the drain's time. Cancel-safe.
    pub(super) async fn next(&mut self) -> Change {
        if let Some(deadline) = self.deadline {
            sleep_until(deadline).await;
            return Change::Over;
        }
        self.shutdown.as_mut().await;
        self.deadline = Some(Instant::now() + self.drain);
        Change::Asked
    }
}
