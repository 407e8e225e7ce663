//! The journal's one thread: it takes requests in groups, writes each group with one call, and
//! answers after that.

use std::{path::PathBuf, thread};

use shivneri_core::{AttemptId, Outcome};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    book::{Book, Snapshot},
    file::{JournalError, JournalFile, Sync},
    record::{Record, Title},
};

/// Requests that wait for the thread, and the most that one write takes.
const QUEUE: usize = 1024;
const GROUP: usize = 256;

/// Why an attempt was not recorded as started: it must then not be started.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the session it was offered in is over")]
    SessionOver,
    #[error("an attempt of this id was begun before")]
    BegunBefore,
    #[error(transparent)]
    Journal(#[from] JournalError),
}

#[derive(Debug)]
enum Request {
    NextSession(oneshot::Sender<Snapshot>),
    Start { session: u64, attempt: AttemptId, sync: Sync, answer: Answer<StartError> },
    End { attempt: AttemptId, outcome: Outcome, answer: Answer<JournalError> },
    Acknowledged { attempt: AttemptId, forget: bool },
    Unacknowledged(oneshot::Sender<Vec<(AttemptId, Outcome)>>),
    Belong { incarnation: Uuid, answer: oneshot::Sender<Result<bool, JournalError>> },
}

type Answer<E> = oneshot::Sender<Result<(), E>>;

/// A handle on the journal; dropping it ends the thread and frees the directory.
#[derive(Debug)]
pub(crate) struct Journal {
    requests: Option<mpsc::Sender<Request>>,
    unacknowledged: watch::Receiver<usize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Journal {
    /// Opens or creates the journal in `dir`. Blocks on the file system.
    pub(crate) fn open(dir: PathBuf, boot: Option<String>) -> Result<Self, JournalError> {
        let (file, book) = JournalFile::open(&dir, boot.as_deref())?;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (count, unacknowledged) = watch::channel(book.unacknowledged_count());
        let writer = Writer { file, book, count, failed: None };
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(inbox))
            .map_err(|error| JournalError::Io {
                what: "start the journal's thread",
                dir,
                source: error.into(),
            })?;
        Ok(Self { requests: Some(requests), unacknowledged, thread: Some(thread) })
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(JournalError::Closed)?;
        requests.send(request(answer)).await.map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)
    }

    /// Ends the session before, so that nothing offered in it can start any more, and lists what
    /// the journal holds.
    pub(crate) async fn next_session(&self) -> Result<Snapshot, JournalError> {
        self.ask(Request::NextSession).await
    }

    /// Records that an attempt is about to begin, on the disk itself where `hold` asks for it.
    pub(crate) async fn start(
        &self,
        session: u64,
        attempt: AttemptId,
        hold: bool,
    ) -> Result<(), StartError> {
        let sync = if hold { Sync::Now } else { Sync::Later };
        self.ask(|answer| Request::Start { session, attempt, sync, answer }).await?
    }

    /// Records how an attempt ended.
    pub(crate) async fn end(
        &self,
        attempt: AttemptId,
        outcome: Outcome,
    ) -> Result<(), JournalError> {
        self.ask(|answer| Request::End { attempt, outcome, answer }).await?
    }

    /// Takes the server's acknowledgement.
    pub(crate) async fn acknowledged(
        &self,
        attempt: AttemptId,
        forget: bool,
    ) -> Result<(), JournalError> {
        let requests = self.requests.as_ref().ok_or(JournalError::Closed)?;
        let request = Request::Acknowledged { attempt, forget };
        requests.send(request).await.map_err(|_| JournalError::Closed)
    }

    /// The outcomes that the server has not acknowledged.
    pub(crate) async fn unacknowledged(&self) -> Result<Vec<(AttemptId, Outcome)>, JournalError> {
        self.ask(Request::Unacknowledged).await
    }

    /// Ties the journal to the server's data. Whether that gave it a new name, because it
    /// belonged to other data before.
    pub(crate) async fn belong(&self, incarnation: Uuid) -> Result<bool, JournalError> {
        self.ask(|answer| Request::Belong { incarnation, answer }).await?
    }

    /// How many outcomes wait for an acknowledgement, as it changes.
    pub(crate) fn watch_unacknowledged(&self) -> watch::Receiver<usize> {
        self.unacknowledged.clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It only finishes the requests it has; a panic there was its own report.
            let _ = thread.join();
        }
    }
}

struct Writer {
    file: JournalFile,
    book: Book,
    count: watch::Sender<usize>,
    failed: Option<JournalError>,
}

/// An answer that waits for the group's write.
type Reply = Box<dyn FnOnce(Result<(), JournalError>)>;

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while inbox.blocking_recv_many(&mut group, GROUP) > 0 {
            self.write(group.drain(..));
        }
    }

    fn write(&mut self, group: impl Iterator<Item = Request>) {
        let mut buffer = Vec::new();
        let mut sync = Sync::Later;
        let mut replies: Vec<Reply> = Vec::new();
        for request in group {
            self.take(request, &mut buffer, &mut sync, &mut replies);
        }
        if !buffer.is_empty() && self.failed.is_none() {
            let written = self.file.append(&buffer, sync);
            self.failed = written.and_then(|()| self.file.compact_if_large(&self.book)).err();
            if let Some(error) = &self.failed {
                tracing::error!(%error, "the agent's journal failed; nothing more is begun");
            }
        }
        self.count.send_if_modified(|count| {
            let before = std::mem::replace(count, self.book.unacknowledged_count());
            before != *count
        });
        for reply in replies {
            reply(self.failed.clone().map_or(Ok(()), Err));
        }
    }

    /// Decides one request; what it writes goes out with the group.
    fn take(
        &mut self,
        request: Request,
        buffer: &mut Vec<u8>,
        sync: &mut Sync,
        replies: &mut Vec<Reply>,
    ) {
        let mut note = |book: &mut Book, record: Record| {
            record.append_to(buffer);
            book.apply(record);
        };
        // Whoever asked may have left; then nobody needs the answer.
        match request {
            Request::NextSession(answer) => {
                let _ = answer.send(self.book.next_session());
            }
            Request::Unacknowledged(answer) => {
                let _ = answer.send(self.book.unacknowledged());
            }
            Request::Start { session, answer, .. } if session != self.book.session() => {
                let _ = answer.send(Err(StartError::SessionOver));
            }
            Request::Start { attempt, answer, .. } if self.book.knows(&attempt) => {
                let _ = answer.send(Err(StartError::BegunBefore));
            }
            Request::Start { attempt, sync: wanted, answer, .. } => {
                note(&mut self.book, Record::Started(attempt));
                if wanted == Sync::Now {
                    *sync = Sync::Now;
                }
                replies.push(Box::new(move |result| {
                    let _ = answer.send(result.map_err(StartError::Journal));
                }));
            }
            Request::End { attempt, outcome, answer } => {
                note(&mut self.book, Record::Ended(attempt, outcome));
                replies.push(Box::new(move |result| {
                    let _ = answer.send(result);
                }));
            }
            Request::Acknowledged { attempt, forget } => {
                if let Some(record) = self.book.acknowledged(attempt, forget) {
                    note(&mut self.book, record);
                }
            }
            Request::Belong { incarnation, answer } => {
                let title = self.book.title().cloned().expect("an open journal has a title");
                let renewed = title.incarnation.is_some_and(|before| before != incarnation);
                let journal = if renewed { Uuid::new_v4() } else { title.journal };
                if title.incarnation != Some(incarnation) {
                    let incarnation = Some(incarnation);
                    note(&mut self.book, Record::Title(Title { journal, incarnation, ..title }));
                }
                replies.push(Box::new(move |result| {
                    let _ = answer.send(result.map(|()| renewed));
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
