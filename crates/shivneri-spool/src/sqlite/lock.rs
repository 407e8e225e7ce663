//! One owner for a data directory: a lock that ends with its process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
    sync::Arc,
};

use crate::OpenError;

/// Held as long as the directory is owned.
#[derive(Debug)]
pub(super) struct DirectoryLock(#[expect(dead_code, reason = "open, it holds the lock")] File);

impl DirectoryLock {
    /// Makes the directory where it is missing, and takes it.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| trouble(directory, "could not make the data directory", error))?;
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| trouble(&path, "could not open the lock file", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Who holds the lock may be writing its number just now.
                let pid = match file.read_to_string(&mut owner) {
                    Ok(_) => owner.trim().parse().ok(),
                    Err(_) => None,
                };
                return Err(OpenError::InUse { directory: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => {
                return Err(trouble(&path, "could not lock", error));
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .and_then(|()| file.flush())
            .map_err(|error| trouble(&path, "could not write the lock file", error))?;
        Ok(Self(file))
    }
}

pub(super) fn trouble(
    path: &Path,
    what: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        what,
        reason: error.to_string(),
        source: Some(Arc::new(error)),
    }
}
