//! What the writer, the readers and the callers share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use shivneri_core::{Lane, LaneName};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{ledger::Due, schema, tally::Tally};
use crate::{Clock, Commits, SpoolError, SpoolState, model::Queue};

/// Reading connections kept open.
const READERS: usize = 8;

/// The lanes as configured, and as the database numbers them.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) rules: Vec<Arc<Lane>>,
    /// The number of each of the rules.
    pub(super) ids: Vec<i64>,
    /// Every lane that ever was.
    pub(super) names: BTreeMap<i64, LaneName>,
}

impl Lanes {
    pub(super) fn index(&self, id: i64) -> Option<usize> {
        self.ids.iter().position(|one| *one == id)
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) min_free_disk: u64,
    pub(super) lanes: Lanes,
    pub(super) epoch: u64,
    pub(super) incarnation: Uuid,
    pub(super) clock: Clock,
    pub(super) queue: Mutex<Queue>,
    pub(super) earlier: Notify,
    pub(super) state: Mutex<SpoolState>,
    pub(super) full: Mutex<Option<String>>,
    pub(super) commits: Mutex<Commits>,
    /// The counters as of the last commit.
    pub(super) tally: Mutex<Tally>,
    pub(super) last_event: watch::Sender<u64>,
    pub(super) readers: Mutex<Vec<Connection>>,
}

/// Every critical section leaves its value whole, so that one left by a panic may be used.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SpoolState> {
        locked(&self.state)
    }

    pub(super) fn full(&self) -> Option<String> {
        locked(&self.full).clone()
    }

    pub(super) fn tally(&self) -> Tally {
        locked(&self.tally).clone()
    }

    pub(super) fn unfinished(&self) -> u64 {
        locked(&self.tally).unfinished()
    }

    pub(super) fn commits(&self) -> Commits {
        locked(&self.commits).clone()
    }

    /// Whether anything can still be committed.
    pub(super) fn check(&self) -> Result<(), SpoolError> {
        match &*self.state() {
            SpoolState::Open => Ok(()),
            SpoolState::Poisoned { reason } => Err(SpoolError::Poisoned { reason: reason.clone() }),
            SpoolState::Closed => Err(SpoolError::Closed),
        }
    }

    pub(super) fn poison(&self, reason: &str) {
        let mut state = self.state();
        if *state == SpoolState::Open {
            tracing::error!(reason, "the spool is poisoned: it takes and sends no more mail");
            *state = SpoolState::Poisoned { reason: reason.to_owned() };
        }
    }

    /// Counts a commit.
    pub(super) fn count(&self, operations: u64, took: Duration) {
        locked(&self.commits).add(operations, took);
    }

    /// Makes a group's effects visible, after its commit.
    pub(super) fn committed(&self, tally: &Tally, before: &Tally, due: Vec<Due>) {
        if tally != before {
            locked(&self.tally).clone_from(tally);
        }
        let mut queue = self.queue();
        let mut earlier = queue.committed();
        for one in due {
            earlier |= queue.push(one.lane, one.at, one.key);
        }
        drop(queue);
        if earlier {
            self.earlier.notify_one();
        }
        if tally.events != before.events {
            #[cfg(feature = "failpoints")]
            shivneri_failpoint::hit("event.committed");
            self.last_event.send_replace(tally.events);
        }
    }

    /// Finds out whether the disk has room for more mail.
    pub(super) fn look_at_disk(&self) {
        if self.min_free_disk == 0 {
            return;
        }
        let full = match rustix::fs::statvfs(&self.directory) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let least = self.min_free_disk;
                (free < least)
                    .then(|| format!("{free} bytes of disk are free, {least} are required"))
            }
            Err(error) => Some(format!("free disk space is not known: {error}")),
        };
        let mut known = locked(&self.full);
        if known.is_some() != full.is_some() {
            match &full {
                Some(reason) => tracing::warn!(reason, "the spool takes no more mail for now"),
                None => tracing::info!("the spool takes mail again"),
            }
        }
        *known = full;
    }

    /// Reads with a connection of its own, on one snapshot. Blocks: call it off the runtime.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SpoolError> {
        let unreadable = |error: rusqlite::Error| SpoolError::Read { reason: error.to_string() };
        let kept = locked(&self.readers).pop();
        let mut conn = match kept {
            Some(conn) => conn,
            None => schema::open_reader(&self.path).map_err(unreadable)?,
        };
        let snapshot = conn.transaction().map_err(unreadable)?;
        let result = query(&snapshot);
        snapshot.finish().map_err(unreadable)?;
        let mut readers = locked(&self.readers);
        if readers.len() < READERS {
            readers.push(conn);
        }
        result.map_err(unreadable)
    }

    pub(super) fn drop_readers(&self) {
        locked(&self.readers).clear();
    }
}
