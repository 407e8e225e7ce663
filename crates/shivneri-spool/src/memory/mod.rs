//! A spool in memory: the whole contract but for surviving its process, and a model of that too
//! ([`Memory::reopen`]). For tests, simulations, and programs that keep mail elsewhere.

mod amend;
mod book;
mod spool;
mod stored;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shivneri_core::{Attempt, Lane};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use self::book::Book;
use crate::{Clock, SpoolError};

/// A spool in memory. It needs no thread and no runtime of its own.
#[derive(Debug)]
pub struct Memory {
    incarnation: Uuid,
    epoch: u64,
    lanes: Vec<Arc<Lane>>,
    max_messages: u64,
    clock: Clock,
    book: Mutex<Book>,
    earlier: Notify,
    last_event: watch::Sender<u64>,
}

impl Memory {
    /// An empty spool with the built-in lanes and the system's clock.
    pub fn new() -> Arc<Self> {
        Self::with(&crate::Options::default())
    }

    /// An empty spool with these options; free disk space means nothing to it.
    pub fn with(options: &crate::Options) -> Arc<Self> {
        let lanes: Vec<Arc<Lane>> = options.lanes.iter().cloned().map(Arc::new).collect();
        Arc::new(Self {
            book: Mutex::new(Book::new(&lanes)),
            incarnation: Uuid::new_v4(),
            epoch: 1,
            lanes,
            max_messages: options.max_messages,
            clock: options.clock.clone(),
            earlier: Notify::new(),
            last_event: watch::Sender::new(0),
        })
    }

    /// The spool as its next owner finds it after this one was killed: every commit is there, no
    /// lease is, and attempts that were open are in doubt. This one commits nothing any more.
    pub fn reopen(&self) -> Arc<Self> {
        let book = {
            let mut book = self.book();
            let mut closed = Book::new(&self.lanes);
            closed.closed = true;
            std::mem::replace(&mut *book, closed)
        };
        let last_event = book.last_event;
        Arc::new(Self {
            book: Mutex::new(book.taken_over(&self.lanes, self.clock.now())),
            incarnation: self.incarnation,
            epoch: self.epoch + 1,
            lanes: self.lanes.clone(),
            max_messages: self.max_messages,
            clock: self.clock.clone(),
            earlier: Notify::new(),
            last_event: watch::Sender::new(last_event),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whatever a panic interrupted was whole before and after each statement that matters.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and tells those who follow it.
    fn write<T>(
        &self,
        operation: impl FnOnce(&mut Book) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let (result, earlier, last) = {
            let mut book = self.book();
            if book.closed {
                return Err(SpoolError::Closed);
            }
            let result = operation(&mut book);
            book.operations += 1;
            (result, std::mem::take(&mut book.earlier), book.last_event)
        };
        if earlier {
            self.earlier.notify_one();
        }
        self.last_event.send_if_modified(|before| std::mem::replace(before, last) != last);
        result
    }

    fn check_epoch(&self, attempt: &Attempt) -> Result<(), SpoolError> {
        if attempt.epoch == self.epoch {
            Ok(())
        } else {
            Err(SpoolError::StaleEpoch { theirs: attempt.epoch, ours: self.epoch })
        }
    }
}

#[cfg(test)]
mod tests;
