//! Where a journal's bytes are kept.

use std::{fmt, io};

use async_trait::async_trait;

/// Whether records must have reached the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// They must: they survive a power cut.
    Now,
    /// It is enough that they survive this process.
    Later,
}

/// Keeps one agent's journal, by default a file in its state directory.
///
/// # Contract
///
/// * It has one owner at a time.
/// * What [`append`](Self::append) returned for survives the death of this process; with
///   [`Sync::Now`] it survives a power cut too, and all that was appended before.
/// * After a crash a prefix of what was appended is there, perhaps cut within a record.
/// * [`replace`](Self::replace) is all or nothing, and synced.
#[async_trait]
pub trait JournalStore: fmt::Debug + Send + std::marker::Sync + 'static {
    /// Names this boot of the machine; another name means that unsynced writes may be gone.
    /// `None` where it can't be told.
    fn boot(&self) -> Option<String>;

    /// All that is there.
    ///
    /// # Errors
    ///
    /// Where it could not be read.
    async fn read(&self) -> io::Result<Vec<u8>>;

    /// Cuts it to its first `length` bytes.
    ///
    /// # Errors
    ///
    /// Where it could not be cut.
    async fn cut(&self, length: u64) -> io::Result<()>;

    /// Writes at the end.
    ///
    /// # Errors
    ///
    /// Where it may not have been written; nothing more is appended then.
    async fn append(&self, records: &[u8], sync: Sync) -> io::Result<()>;

    /// Puts other contents in its place.
    ///
    /// # Errors
    ///
    /// Where it could not; the former contents are there then.
    async fn replace(&self, contents: &[u8]) -> io::Result<()>;

    /// Keeps a damaged journal's contents for people to look at.
    ///
    /// # Errors
    ///
    /// Where they could not be kept; the journal is not opened then.
    async fn set_aside(&self, contents: &[u8]) -> io::Result<()>;
}
