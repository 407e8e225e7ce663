//! What may go wrong with a spool.

use std::{path::PathBuf, sync::Arc};

use shivneri_core::{AttemptId, DeliveryId, LaneName, LogError};

/// A spool could not do what it was asked. Nothing of it was kept then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpoolError {
    /// The message names a lane that the spool was not opened with.
    #[error("there is no lane {0}")]
    UnknownLane(LaneName),
    /// It takes no more mail for now; what it holds goes on.
    #[error("the spool is full: {reason}")]
    Full {
        /// Which limit was reached.
        reason: String,
    },
    /// A commit failed. Nothing is known of what reached the disk, so it stopped for good.
    #[error("the spool is poisoned by a failed commit: {reason}")]
    Poisoned {
        /// What failed.
        reason: String,
    },
    /// It was closed.
    #[error("the spool is closed")]
    Closed,
    /// The attempt belongs to an earlier owner of the spool.
    #[error("epoch {theirs} is not the owner's epoch {ours}")]
    StaleEpoch {
        /// The epoch of who asked.
        theirs: u64,
        /// The owner's.
        ours: u64,
    },
    /// One open attempt per delivery.
    #[error("delivery {0} has an open attempt")]
    AttemptOpen(DeliveryId),
    /// It is not there, or has reached a final state.
    #[error("delivery {0} is not under way")]
    UnknownDelivery(DeliveryId),
    /// It is not there, or is closed.
    #[error("attempt {0} is not open")]
    UnknownAttempt(AttemptId),
    /// A cursor that this spool did not give out.
    #[error("the cursor is not one of this spool's")]
    BadCursor,
    /// Reading failed; nothing was changed by it.
    #[error("the spool could not be read: {reason}")]
    Read {
        /// What failed.
        reason: String,
    },
    /// One operation was not possible; others were not touched by it.
    #[error("the spool could not write: {reason}")]
    Write {
        /// What failed.
        reason: String,
    },
}

impl From<SpoolError> for LogError {
    fn from(error: SpoolError) -> Self {
        Self::new(error.to_string())
    }
}

/// A spool could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process owns the data directory.
    #[error("{} is in use by {}", .directory.display(), pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The owner, where the lock file names it.
        pid: Option<u32>,
    },
    /// A newer version of Shivneri has written it.
    #[error("{} has schema version {found}, and this version knows {known} at most", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// Mail is queued in a lane that is not among those given.
    #[error("mail is queued in lane {lane}, which is not configured")]
    MissingLane {
        /// The lane's name.
        lane: String,
    },
    /// The directory or file can't be used.
    #[error("{}: {what}: {reason}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        reason: String,
        /// The error below.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}
