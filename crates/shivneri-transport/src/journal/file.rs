//! The journal's records in their store: how they are opened, appended to, and written anew.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    book::Book,
    record::{Record, Tail, Title, scan},
    store::{JournalStore, Sync},
};

/// Why an agent's state directory can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the directory.
    #[error("the state directory {dir} is in use by process {pid}")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other process, or `unknown`.
        pid: String,
    },
    /// The file system said no.
    #[error("could not {what} in the state directory {dir}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The directory.
        dir: PathBuf,
        /// The file system's word.
        source: Arc<io::Error>,
    },
    /// A write failed before; what reached the disk is not known.
    #[error("the journal is closed because writing to it failed")]
    Closed,
}

/// The file beyond this size is written anew, without what is settled.
const COMPACT_BEYOND: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct JournalFile {
    /// Names the store in errors.
    dir: PathBuf,
    store: Arc<dyn JournalStore>,
    size: u64,
    compact_beyond: u64,
}

impl JournalFile {
    /// Reads what is there, and cuts a torn tail.
    pub(super) async fn open(
        dir: &Path,
        store: Arc<dyn JournalStore>,
    ) -> Result<(Self, Book), JournalError> {
        let failed = |what| failure(dir, what);
        let bytes = store.read().await.map_err(failed("read the journal"))?;
        let scan = scan(&bytes);
        match scan.tail {
            Tail::Whole => {}
            Tail::Torn => {
                tracing::info!(dir = %dir.display(), "cut a torn tail off the agent's journal");
            }
            Tail::Damaged => {
                let kept = store.set_aside(&bytes).await;
                kept.map_err(failed("set a damaged journal aside"))?;
            }
        }
        let size = scan.whole as u64;
        store.cut(size).await.map_err(failed("cut the journal"))?;
        let mut book = Book::replay(scan.records);
        let boot = store.boot();
        let mut opened = Self { dir: dir.to_owned(), store, size, compact_beyond: COMPACT_BEYOND };
        let mut records = book.orphans();
        let proves = |title: &Title| Some(&title.boot) == boot.as_ref();
        if scan.tail == Tail::Damaged || !book.title().is_some_and(proves) {
            let incarnation = book.title().and_then(|title| title.incarnation);
            let boot = boot.unwrap_or_default();
            records.push(Record::Title(Title { journal: Uuid::new_v4(), boot, incarnation }));
        }
        let mut buffer = Vec::new();
        for record in records {
            record.append_to(&mut buffer);
            book.apply(record);
        }
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("journal.recovered");
        opened.append(&buffer, Sync::Now).await?;
        Ok((opened, book))
    }

    /// Writes whole records with one call.
    pub(super) async fn append(&mut self, records: &[u8], sync: Sync) -> Result<(), JournalError> {
        let written = self.store.append(records, sync).await;
        written.map_err(failure(&self.dir, "write the journal"))?;
        self.size += records.len() as u64;
        Ok(())
    }

    /// Writes the file anew where most of it is settled. A crash in between leaves the old one.
    pub(super) async fn compact_if_large(&mut self, book: &Book) -> Result<(), JournalError> {
        if self.size <= self.compact_beyond {
            return Ok(());
        }
        let mut buffer = Vec::new();
        for record in book.records() {
            record.append_to(&mut buffer);
        }
        let replaced = self.store.replace(&buffer).await;
        replaced.map_err(failure(&self.dir, "put a new journal in place"))?;
        self.size = buffer.len() as u64;
        // Where little could be dropped, the next attempt waits until it has doubled.
        self.compact_beyond = COMPACT_BEYOND.max(self.size * 2);
        Ok(())
    }
}

pub(super) fn failure(
    dir: &Path,
    what: &'static str,
) -> impl Fn(io::Error) -> JournalError + use<> {
    let dir = dir.to_owned();
    move |error| JournalError::Io { what, dir: dir.clone(), source: Arc::new(error) }
}
