//! The one writer: a thread that commits whatever waits for it as one group.

use std::sync::Arc;

use rusqlite::{Connection, ffi};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Duration, Instant},
};

use super::{
    Shared,
    keys::Keys,
    ledger::{Due, Ledger, Trouble},
    lock::DirectoryLock,
    tally::Tally,
};
use crate::SpoolError;

/// Operations in one commit at most.
const GROUP: usize = 512;
/// How often free disk space is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(1);

/// An operation: applied to the group's transaction, it gives what is to be told afterwards.
pub(super) type Job = Box<dyn FnOnce(&mut Ledger<'_>) -> Applied + Send>;

/// An operation that was applied.
pub(super) struct Applied {
    /// Tells who waits, once the group is committed or has failed.
    tell: Box<dyn FnOnce(Result<(), SpoolError>) + Send>,
    /// The database failed under it.
    fatal: Option<String>,
}

/// Makes a job of an operation, and gives the place where its result will be.
pub(super) fn job<T: Send + 'static>(
    operation: impl FnOnce(&mut Ledger<'_>) -> Result<T, Trouble> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, SpoolError>>) {
    let (tell, told) = oneshot::channel();
    let job = move |ledger: &mut Ledger<'_>| {
        let (result, fatal) = match operation(ledger) {
            Ok(value) => (Ok(value), None),
            Err(Trouble::Refused(error)) => (Err(error), None),
            Err(Trouble::Sql(error)) => {
                let reason = reason_of(&error);
                (Err(SpoolError::Poisoned { reason: reason.clone() }), Some(reason))
            }
        };
        let tell = move |committed: Result<(), SpoolError>| {
            // Whoever asked may have gone; the operation is done all the same.
            drop(tell.send(committed.and(result)));
        };
        Applied { tell: Box::new(tell), fatal }
    };
    (Box::new(job), told)
}

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) tally: Tally,
    pub(super) keys: Keys,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// The directory is owned as long as anything may be written.
    pub(super) lock: DirectoryLock,
}

impl Writer {
    /// Works until the last sender is gone.
    pub(super) fn run(mut self) {
        let guard = PoisonOnPanic(Arc::clone(&self.shared));
        let mut group = Vec::with_capacity(GROUP);
        let mut looked_at: Option<Instant> = None;
        while self.jobs.blocking_recv_many(&mut group, GROUP) > 0 {
            if looked_at.is_none_or(|at| at.elapsed() >= DISK_INTERVAL) {
                self.shared.look_at_disk();
                looked_at = Some(Instant::now());
            }
            self.commit(&mut group);
        }
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "the spool's database did not close cleanly");
        }
        drop(guard);
        drop(self.lock);
    }

    fn commit(&mut self, group: &mut Vec<Job>) {
        if let Err(error) = self.shared.check() {
            refuse(group, &error);
            return;
        }
        let begun = Instant::now();
        let before = self.tally.clone();
        let mut applied = Vec::with_capacity(group.len());
        let result = self.apply(group, &before, &mut applied);
        match result {
            Ok(due) => {
                let operations = applied.len() as u64;
                self.shared.count(operations, begun.elapsed());
                self.shared.committed(&self.tally, &before, due);
                for one in applied {
                    (one.tell)(Ok(()));
                }
            }
            Err(reason) => {
                let error = SpoolError::Poisoned { reason: reason.clone() };
                self.shared.poison(&reason);
                self.shared.queue().committed();
                for one in applied {
                    (one.tell)(Err(error.clone()));
                }
                refuse(group, &error);
            }
        }
    }

    fn apply(
        &mut self,
        group: &mut Vec<Job>,
        before: &Tally,
        applied: &mut Vec<Applied>,
    ) -> Result<Vec<Due>, String> {
        let sql = |error: rusqlite::Error| reason_of(&error);
        self.conn.prepare_cached("BEGIN IMMEDIATE").map_err(sql)?.execute([]).map_err(sql)?;
        let mut ledger = Ledger {
            conn: &self.conn,
            shared: &self.shared,
            tally: &mut self.tally,
            keys: &mut self.keys,
            due: Vec::new(),
        };
        for job in group.drain(..) {
            let mut one = job(&mut ledger);
            let fatal = one.fatal.take();
            applied.push(one);
            if let Some(reason) = fatal {
                return Err(reason);
            }
        }
        let due = ledger.due;
        self.tally.store(before, &self.conn).map_err(sql)?;
        self.conn.prepare_cached("COMMIT").map_err(sql)?.execute([]).map_err(sql)?;
        Ok(due)
    }
}

/// What failed. SQLite's own words do not tell a disk that does not sync from one that can't be
/// written at all.
fn reason_of(error: &rusqlite::Error) -> String {
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => {
            format!("the disk did not sync: {error}")
        }
        Some(_) | None => error.to_string(),
    }
}

/// Drops operations undone: whoever asked finds out when their sender is gone, and then reads the
/// spool's state.
fn refuse(group: &mut Vec<Job>, error: &SpoolError) {
    tracing::debug!(%error, refused = group.len(), "operations refused");
    group.clear();
}

/// A writer that panicked can't say what it has committed.
struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the writer stopped unexpectedly");
        }
    }
}
