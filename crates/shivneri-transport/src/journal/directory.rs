//! The state directory: its lock and the journal's file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    file::{JournalError, failure},
    store::{JournalStore, Sync},
};

/// A directory that this process has locked. Its calls block; the journal's thread makes them.
#[derive(Debug)]
pub(super) struct StateDirectory {
    dir: PathBuf,
    boot: Option<String>,
    file: Mutex<Arc<File>>,
    /// Held as long as the journal is; the kernel lets go of it when the process dies.
    _lock: File,
}

/// Names this boot of the machine; `None` where it doesn't tell.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl StateDirectory {
    pub(super) fn open(dir: PathBuf, boot: Option<String>) -> Result<Self, JournalError> {
        fs::create_dir_all(&dir).map_err(failure(&dir, "create a directory"))?;
        let lock = lock(&dir)?;
        let file = appending(&dir.join("journal"), true);
        let file = file.map_err(failure(&dir, "open the journal"))?;
        Ok(Self { dir, boot, file: Mutex::new(Arc::new(file)), _lock: lock })
    }

    fn file(&self) -> Arc<File> {
        Arc::clone(&self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn appending(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(create).open(path)
}

#[async_trait]
impl JournalStore for StateDirectory {
    fn boot(&self) -> Option<String> {
        self.boot.clone()
    }

    async fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file().as_ref().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    async fn cut(&self, length: u64) -> io::Result<()> {
        self.file().set_len(length)
    }

    async fn append(&self, records: &[u8], sync: Sync) -> io::Result<()> {
        let file = self.file();
        file.as_ref().write_all(records)?;
        match sync {
            Sync::Now => file.sync_data(),
            Sync::Later => Ok(()),
        }
    }

    async fn replace(&self, contents: &[u8]) -> io::Result<()> {
        let (new, path) = (self.dir.join("journal.new"), self.dir.join("journal"));
        fs::write(&new, contents)?;
        let file = appending(&new, false)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        Ok(())
    }

    async fn set_aside(&self, contents: &[u8]) -> io::Result<()> {
        let aside = self.dir.join(format!("journal.damaged-{}", Uuid::new_v4()));
        fs::write(&aside, contents)?;
        tracing::warn!(kept = %aside.display(), "the agent's journal is damaged");
        Ok(())
    }
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
