//! Outcomes on their way to being committed.
//!
//! Between the moment an outcome is handed to whoever waits for it and the moment it is
//! committed, a second finding about the same attempt may come in: the agent reports again, or
//! comes back after its connection was given up for lost. Such a finding waits for the commit,
//! so that the two can't overtake each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shivneri_core::{AttemptId, Outcome};
use tokio::time::Instant;

use super::session::Session;

/// A commit that takes longer has been given up by whoever was to make it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// A finding that came apart from the attempt's own way.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) outcome: Outcome,
    /// Who reported it and waits for an acknowledgement.
    pub(super) reporter: Option<Arc<Session>>,
}

#[derive(Debug)]
pub(super) struct Commit {
    since: Instant,
    pub(super) reporter: Option<Arc<Session>>,
    pub(super) late: Option<Late>,
}

#[derive(Debug, Default)]
pub(super) struct Settling {
    commits: Mutex<HashMap<AttemptId, Commit>>,
}

impl Settling {
    fn commits(&self) -> MutexGuard<'_, HashMap<AttemptId, Commit>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An outcome is about to be handed over: reported by an agent, or found by the server.
    pub(super) fn begin(&self, attempt: AttemptId, reporter: Option<Arc<Session>>) {
        let commit = Commit { since: Instant::now(), reporter, late: None };
        self.commits().insert(attempt, commit);
    }

    /// Nobody was there to take it.
    pub(super) fn cancel(&self, attempt: AttemptId) {
        self.commits().remove(&attempt);
    }

    /// Takes a late finding, or gives it back where no commit is on its way.
    pub(super) fn defer(&self, attempt: AttemptId, late: Late) -> Option<Late> {
        let mut commits = self.commits();
        let Some(commit) = commits.get_mut(&attempt) else { return Some(late) };
        if commit.reporter.is_some() {
            // The agent says it again, perhaps over a new connection: that one is answered.
            commit.reporter = late.reporter.or(commit.reporter.take());
        } else {
            commit.late = Some(late);
        }
        None
    }

    /// The commit is made, or has failed.
    pub(super) fn finish(&self, attempt: AttemptId) -> Option<Commit> {
        self.commits().remove(&attempt)
    }

    /// Takes out what nobody will commit any more.
    pub(super) fn given_up(&self) -> Vec<(AttemptId, Commit)> {
        let now = Instant::now();
        let old = |commit: &mut Commit| now.duration_since(commit.since) > GIVEN_UP_AFTER;
        self.commits().extract_if(|_, commit| old(commit)).collect()
    }
}
