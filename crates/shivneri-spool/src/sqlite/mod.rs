//! The embedded spool: one SQLite database, one owner, one writer that commits in groups.
//!
//! Every operation waits for its group's commit, which syncs the disk (`synchronous = FULL`). A
//! group is whatever came while the one before it was being committed; nothing waits longer to
//! make a group larger. On two busy cores and a disk that syncs in 0.1 ms, 64 callers were seen to
//! have 20,000 messages of 2 KiB a second accepted, and 14,000 a second accepted, leased, tried
//! and settled. Leases and the order of what is due live in memory and are built again
//! when the database is opened.

mod aside;
mod audit;
mod codes;
mod damaged;
mod keys;
mod lease;
mod ledger;
mod lock;
mod open;
mod reads;
mod rows;
mod schema;
mod search;
mod shared;
mod spool;
mod sweep;
mod tally;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::SystemTime,
};

use rusqlite::Connection;
use shivneri_core::Lane;
use tokio::sync::mpsc;

use self::{
    ledger::{Ledger, Trouble},
    shared::Shared,
    sweep::Sweep,
    writer::Job,
};
use crate::{Clock, Collected, Retention, SpoolError, SpoolState};

/// How an embedded spool is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The lanes; mail that is queued in another one is not opened.
    pub lanes: Vec<Lane>,
    /// Unfinished messages beyond which no more is accepted.
    pub max_messages: u64,
    /// Free bytes of disk below which no more is accepted; 0: not looked at.
    pub min_free_disk: u64,
    /// Where the time is read.
    pub clock: Clock,
}

impl Default for Options {
    /// The three built-in lanes, five million messages, 1 GiB of free disk.
    fn default() -> Self {
        Self {
            lanes: vec![Lane::critical(), Lane::transactional(), Lane::bulk()],
            max_messages: 5_000_000,
            min_free_disk: 1 << 30,
            clock: Clock::default(),
        }
    }
}

/// A spool in one SQLite database. The directory it lies in has one owner at a time.
#[derive(Debug)]
pub struct Sqlite {
    shared: Arc<Shared>,
    max_messages: u64,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    sweep: Arc<Mutex<Sweep>>,
}

/// Operations that may wait for the writer.
const BACKLOG: usize = 4096;

/// The file that a spool URL names, as `sqlite:dir/spool.db`; none where it is of another kind.
pub fn path_of(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite:").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Writes a consistent copy of a spool, whether its owner is at work or not. The file must not be
/// there. Whoever opens the copy finds its unfinished mail in doubt. Blocks.
///
/// # Errors
///
/// [`SpoolError::Write`] where the copy is not whole.
pub fn backup(from: &Path, to: &Path) -> Result<(), SpoolError> {
    let failed = |error: rusqlite::Error| SpoolError::Write { reason: error.to_string() };
    let text = to.to_str().ok_or_else(|| SpoolError::Write {
        reason: format!("{} is not a path in UTF-8", to.display()),
    })?;
    // One statement that reads one snapshot and holds nobody up.
    let reader = schema::open_reader(from).map_err(failed)?;
    reader.execute("VACUUM INTO ?1", [text]).map_err(failed)?;
    let copy = Connection::open(to).map_err(failed)?;
    tally::write_meta(&copy, open::RESTORED, 1).map_err(failed)?;
    copy.close().map_err(|(_, error)| failed(error))
}

impl Sqlite {
    /// Has an operation done by the writer, and returns once it is committed.
    async fn commit<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Ledger<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, SpoolError> {
        self.shared.check()?;
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let jobs = jobs.ok_or(SpoolError::Closed)?;
        let (job, told) = writer::job(operation);
        if jobs.send(job).await.is_err() {
            return Err(self.gone());
        }
        drop(jobs);
        match told.await {
            Ok(result) => result,
            Err(_) => Err(self.gone()),
        }
    }

    /// Why an operation was dropped.
    fn gone(&self) -> SpoolError {
        self.shared.check().err().unwrap_or(SpoolError::Closed)
    }

    /// Reads off the runtime's threads.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Shared, &Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.read(|conn| query(&shared, conn)))
            .await
            .map_err(|error| SpoolError::Read { reason: error.to_string() })?
    }

    /// Why no more mail is taken, where it is not.
    fn fullness(&self) -> Option<String> {
        let unfinished = self.shared.unfinished();
        if unfinished >= self.max_messages {
            return Some(format!("{unfinished} messages are not finished"));
        }
        self.shared.full()
    }

    fn check_room(&self) -> Result<(), SpoolError> {
        if self.shared.full().is_some() {
            // Nobody else looks again while nothing is accepted.
            self.shared.look_at_disk();
        }
        match self.fullness() {
            Some(reason) => Err(SpoolError::Full { reason }),
            None => Ok(()),
        }
    }

    /// Deletes what is past its retention, some thousands a call.
    async fn collect_old(
        &self,
        retention: Retention,
        now: SystemTime,
    ) -> Result<Collected, SpoolError> {
        let sweep = Arc::clone(&self.sweep);
        let (bodies, messages) = self
            .read(move |_, conn| {
                let mut sweep = sweep.lock().unwrap_or_else(PoisonError::into_inner);
                sweep.find(conn, retention, now)
            })
            .await?;
        #[cfg(feature = "failpoints")]
        if !bodies.is_empty() {
            shivneri_failpoint::hit("collect.found");
        }
        let mut collected = Collected::default();
        // In small operations, so that mail is never kept waiting for long.
        for rows in bodies.chunks(64).map(<[i64]>::to_vec) {
            collected.bodies += self
                .commit(move |ledger| {
                    ledger.guarded(|ledger| count(&rows, |row| ledger.drop_body(row)))
                })
                .await?;
        }
        for rows in messages.chunks(64).map(<[i64]>::to_vec) {
            collected.messages += self
                .commit(move |ledger| {
                    ledger.guarded(|ledger| count(&rows, |row| ledger.drop_message(row)))
                })
                .await?;
        }
        while self.commit(move |ledger| ledger.guarded(|ledger| ledger.drop_old(now))).await? {}
        Ok(collected)
    }
}

fn count(
    rows: &[i64],
    mut delete: impl FnMut(i64) -> Result<bool, Trouble>,
) -> Result<u64, Trouble> {
    rows.iter().try_fold(0, |deleted, row| Ok(deleted + u64::from(delete(*row)?)))
}

/// The email of a message; none where its body is gone or damaged.
fn body_of(conn: &Connection, row: i64) -> rusqlite::Result<Option<shivneri_core::Email>> {
    Ok(rows::body(conn, row)?.and_then(|bytes| crate::body::decode(bytes).ok()))
}

/// Waits for the threads to finish what they were handed. Blocks.
fn finish(shared: &Shared, threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            shared.poison("the writer stopped unexpectedly");
        }
    }
    shared.drop_readers();
    let mut state = shared.state();
    if *state == SpoolState::Open {
        *state = SpoolState::Closed;
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        finish(&self.shared, threads);
    }
}

#[cfg(test)]
mod tests;
