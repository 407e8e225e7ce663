//! The journal's one writer: it takes requests in groups, writes each group with one call, and
//! answers after that.

use std::{path::PathBuf, sync::Arc, thread};

use shivneri_core::{AttemptId, Outcome};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use uuid::Uuid;

use super::{
    book::{Book, Snapshot},
    directory::StateDirectory,
    file::{JournalError, JournalFile, failure},
    record::{Record, Title},
    store::{JournalStore, Sync},
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

/// A handle on the journal; dropping it ends the writer and frees the directory.
#[derive(Debug)]
pub(crate) struct Journal {
    requests: Option<mpsc::Sender<Request>>,
    unacknowledged: watch::Receiver<usize>,
    writer: Owned,
}

/// Where the writer runs: a directory's calls block, so they have a thread of their own.
#[derive(Debug)]
enum Owned {
    Thread(Option<thread::JoinHandle<()>>),
    /// Ends, wherever it is, when this is dropped.
    Task {
        _task: JoinSet<()>,
    },
}

impl Journal {
    /// Opens or creates the journal in `dir`. Blocks on the file system.
    pub(crate) fn open(dir: PathBuf, boot: Option<String>) -> Result<Self, JournalError> {
        let store = Arc::new(StateDirectory::open(dir.clone(), boot)?);
        let failed = failure(&dir, "start the journal's thread");
        let runtime = Builder::new_current_thread().build().map_err(&failed)?;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let work = move || {
            let writer = match runtime.block_on(Writer::open(dir, store)) {
                Ok((writer, unacknowledged)) => {
                    // Whoever opens it waits for this.
                    let _ = opened.send(Ok(unacknowledged));
                    writer
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            runtime.block_on(writer.run(inbox));
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(work).map_err(failed)?;
        let unacknowledged = is_open.recv().unwrap_or(Err(JournalError::Closed))?;
        let writer = Owned::Thread(Some(thread));
        Ok(Self { requests: Some(requests), unacknowledged, writer })
    }

    /// Opens or creates the journal in a store of the caller's, which errors call `name`.
    pub(crate) async fn open_in(
        store: Arc<dyn JournalStore>,
        name: PathBuf,
    ) -> Result<Self, JournalError> {
        let (writer, unacknowledged) = Writer::open(name, store).await?;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(writer.run(inbox));
        let writer = Owned::Task { _task: task };
        Ok(Self { requests: Some(requests), unacknowledged, writer })
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
        if let Owned::Thread(thread) = &mut self.writer
            && let Some(thread) = thread.take()
        {
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
type Reply = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

impl Writer {
    async fn open(
        dir: PathBuf,
        store: Arc<dyn JournalStore>,
    ) -> Result<(Self, watch::Receiver<usize>), JournalError> {
        let (file, book) = JournalFile::open(&dir, store).await?;
        let (count, unacknowledged) = watch::channel(book.unacknowledged_count());
        Ok((Self { file, book, count, failed: None }, unacknowledged))
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while inbox.recv_many(&mut group, GROUP).await > 0 {
            self.write(&mut group).await;
        }
    }

    async fn write(&mut self, group: &mut Vec<Request>) {
        let mut buffer = Vec::new();
        let mut sync = Sync::Later;
        let mut replies: Vec<Reply> = Vec::new();
        for request in group.drain(..) {
            self.take(request, &mut buffer, &mut sync, &mut replies);
        }
        if !buffer.is_empty() && self.failed.is_none() {
            let mut written = self.file.append(&buffer, sync).await;
            if written.is_ok() {
                written = self.file.compact_if_large(&self.book).await;
            }
            self.failed = written.err();
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
