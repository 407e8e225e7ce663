//! The journal's directory: its lock, its file, and how both are opened.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    book::Book,
    record::{Record, Tail, Title, scan},
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
    dir: PathBuf,
    file: File,
    size: u64,
    compact_beyond: u64,
    /// Held as long as the journal is; the kernel lets go of it when the process dies.
    _lock: File,
}

/// Names this boot of the machine; `None` where it doesn't tell.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl JournalFile {
    /// Locks the directory, reads what is there, and cuts a torn tail.
    pub(super) fn open(dir: &Path, boot: Option<&str>) -> Result<(Self, Book), JournalError> {
        let failed = |what| failure(dir, what);
        fs::create_dir_all(dir).map_err(failed("create a directory"))?;
        let lock = lock(dir)?;
        let path = dir.join("journal");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(failed("open the journal"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read the journal"))?;
        let scan = scan(&bytes);
        match scan.tail {
            Tail::Whole => {}
            Tail::Torn => {
                tracing::info!(dir = %dir.display(), "cut a torn tail off the agent's journal");
            }
            Tail::Damaged => {
                let aside = dir.join(format!("journal.damaged-{}", Uuid::new_v4()));
                fs::write(&aside, &bytes).map_err(failed("set a damaged journal aside"))?;
                let (whole, kept) = (scan.whole, aside.display());
                tracing::warn!(whole, %kept, "the agent's journal is damaged beyond this byte");
            }
        }
        file.set_len(scan.whole as u64).map_err(failed("cut the journal"))?;
        file.seek(io::SeekFrom::End(0)).map_err(failed("seek in the journal"))?;
        let mut book = Book::replay(scan.records);
        let mut opened = Self {
            dir: dir.to_owned(),
            file,
            size: scan.whole as u64,
            compact_beyond: COMPACT_BEYOND,
            _lock: lock,
        };
        let mut records = book.orphans();
        let proves = |title: &Title| Some(title.boot.as_str()) == boot;
        if scan.tail == Tail::Damaged || !book.title().is_some_and(proves) {
            let incarnation = book.title().and_then(|title| title.incarnation);
            let boot = boot.unwrap_or_default().to_owned();
            records.push(Record::Title(Title { journal: Uuid::new_v4(), boot, incarnation }));
        }
        let mut buffer = Vec::new();
        for record in records {
            record.append_to(&mut buffer);
            book.apply(record);
        }
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("journal.recovered");
        opened.append(&buffer, Sync::Now)?;
        Ok((opened, book))
    }

    /// Writes whole records with one call.
    pub(super) fn append(&mut self, records: &[u8], sync: Sync) -> Result<(), JournalError> {
        self.file.write_all(records).map_err(failure(&self.dir, "write the journal"))?;
        self.size += records.len() as u64;
        match sync {
            Sync::Now => self.file.sync_data().map_err(failure(&self.dir, "sync the journal")),
            Sync::Later => Ok(()),
        }
    }

    /// Writes the file anew where most of it is settled. A crash in between leaves the old one.
    pub(super) fn compact_if_large(&mut self, book: &Book) -> Result<(), JournalError> {
        if self.size <= self.compact_beyond {
            return Ok(());
        }
        let failed = |what| failure(&self.dir, what);
        let mut buffer = Vec::new();
        for record in book.records() {
            record.append_to(&mut buffer);
        }
        let (new, path) = (self.dir.join("journal.new"), self.dir.join("journal"));
        fs::write(&new, &buffer).map_err(failed("write a new journal"))?;
        let file = OpenOptions::new()
            .append(true)
            .open(&new)
            .and_then(|file| file.sync_all().map(|()| file))
            .map_err(failed("sync a new journal"))?;
        fs::rename(&new, &path)
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(failed("put a new journal in place"))?;
        self.file = file;
        self.size = buffer.len() as u64;
        // Where little could be dropped, the next attempt waits until it has doubled.
        self.compact_beyond = COMPACT_BEYOND.max(self.size * 2);
        Ok(())
    }
}

/// Whether records must reach the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    Now,
    /// The kernel has them: that survives this process, not a power cut.
    Later,
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let failed = |what| failure(dir, what);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))
        .map_err(failed("open the lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Best effort: the owner may be about to write it.
            let _ = file.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
            return Err(JournalError::InUse { dir: dir.to_owned(), pid: pid.to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(failure(dir, "lock a file")(error)),
    }
    file.set_len(0)
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
        .map_err(failed("write the lock"))?;
    Ok(file)
}

fn failure(dir: &Path, what: &'static str) -> impl Fn(io::Error) -> JournalError {
    move |error| JournalError::Io { what, dir: dir.to_owned(), source: Arc::new(error) }
}
