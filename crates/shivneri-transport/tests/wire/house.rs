//! A server's surroundings, made of memory: directory, sessions, attempt log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use secrecy::ExposeSecret;
use shivneri_core::{
    AgentId, AgentSession, Attempt, AttemptId, AttemptLog, DeliveryId, LateOutcomes, LogError,
    Outcome, ProviderId, Transition, UnsettledAttempt,
};
use shivneri_transport::{Caller, Directory, Refusal, RemoteProvider, Sessions};
use tokio::{sync::watch, time::timeout};

use crate::running::Seat;

/// Everything a test waits for comes within that, or the test has failed.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it comes soon")
}

/// One attempt as the log knows it.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) attempt: Attempt,
    pub(crate) end: Option<&'static str>,
    pub(crate) late: Vec<&'static str>,
}

#[derive(Debug, Default)]
struct Books {
    attempts: HashMap<AttemptId, Logged>,
    /// Commits that fail before one succeeds.
    failures: usize,
    /// Whether ends wait.
    closed: bool,
    news: Vec<String>,
    open: HashMap<AgentId, (Arc<RemoteProvider>, AgentSession, u32)>,
    beats: usize,
    generations: HashMap<AgentId, u64>,
    may_start: bool,
    go_asked: usize,
    go_held: bool,
}

/// Directory, sessions, attempt log and late outcomes in one.
#[derive(Debug)]
pub(crate) struct House {
    books: Mutex<Books>,
    changes: watch::Sender<u64>,
}

impl House {
    pub(crate) fn new() -> Arc<Self> {
        let books = Books { may_start: true, ..Books::default() };
        Arc::new(Self { books: Mutex::new(books), changes: watch::Sender::new(0) })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let result = change(&mut self.books());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    async fn until<T>(&self, mut seen: impl FnMut(&Books) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        soon(async {
            loop {
                if let Some(found) = seen(&self.books()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until the agent's session is open, in a generation above `after`.
    pub(crate) async fn session(&self, agent: &str, after: u64) -> Seat {
        let id: AgentId = agent.parse().unwrap();
        self.until(|books| {
            let (provider, session, window) = books.open.get(&id)?;
            (session.generation > after).then(|| Seat {
                provider: Arc::clone(provider),
                session: session.clone(),
                window: *window,
            })
        })
        .await
    }

    pub(crate) async fn has_news(&self, news: &str) {
        self.until(|books| books.news.iter().any(|one| one == news).then_some(())).await;
    }

    pub(crate) fn news(&self) -> Vec<String> {
        self.books().news.clone()
    }

    pub(crate) fn clear_news(&self) {
        self.change(|books| books.news.clear());
    }

    pub(crate) fn beats(&self) -> usize {
        self.books().beats
    }

    pub(crate) async fn has_beats(&self, beats: usize) {
        self.until(|books| (books.beats >= beats).then_some(())).await;
    }

    pub(crate) fn logged(&self, id: AttemptId) -> Logged {
        self.books().attempts[&id].clone()
    }

    /// Waits for the first late outcome of an attempt.
    pub(crate) async fn late(&self, id: AttemptId) -> &'static str {
        self.until(|books| books.attempts.get(&id)?.late.first().copied()).await
    }

    /// Waits until so many attempts were begun.
    pub(crate) async fn has_attempts(&self, attempts: usize) {
        self.until(|books| (books.attempts.len() >= attempts).then_some(())).await;
    }

    /// As if the attempt had been purged.
    pub(crate) fn forget(&self, id: AttemptId) {
        self.change(|books| books.attempts.remove(&id));
    }

    /// Waits until so many commits are still to fail.
    pub(crate) async fn failures_left(&self, failures: usize) {
        self.until(|books| (books.failures == failures).then_some(())).await;
    }

    pub(crate) fn fail_commits(&self, failures: usize) {
        self.change(|books| books.failures = failures);
    }

    pub(crate) fn hold_commits(&self, closed: bool) {
        self.change(|books| books.closed = closed);
    }

    pub(crate) fn forbid_start(&self) {
        self.change(|books| books.may_start = false);
    }

    /// Whether the answers to Ask wait.
    pub(crate) fn hold_go(&self, held: bool) {
        self.change(|books| books.go_held = held);
    }

    pub(crate) async fn go_asked(&self, times: usize) {
        self.until(|books| (books.go_asked >= times).then_some(())).await;
    }

    /// Notes an attempt as if it had been offered before.
    pub(crate) fn remember(&self, attempt: &Attempt) {
        let logged = Logged { attempt: attempt.clone(), end: None, late: Vec::new() };
        self.change(|books| books.attempts.insert(attempt.id, logged));
    }

    fn commit(&self, change: impl FnOnce(&mut Books)) -> Result<(), LogError> {
        self.change(|books| {
            if books.failures > 0 {
                books.failures -= 1;
                return Err(LogError::new("as the test asked"));
            }
            change(books);
            Ok(())
        })
    }
}

#[async_trait]
impl AttemptLog for House {
    async fn begin(&self, attempt: &Attempt) -> Result<(), LogError> {
        self.remember(attempt);
        Ok(())
    }

    async fn end(
        &self,
        attempt: &Attempt,
        outcome: &Outcome,
        _: &Transition,
    ) -> Result<(), LogError> {
        self.until(|books| (!books.closed).then_some(())).await;
        self.commit(|books| {
            let logged = books.attempts.get_mut(&attempt.id).unwrap();
            assert!(logged.late.is_empty(), "a late outcome came before the end was committed");
            logged.end = Some(outcome.word());
        })
    }

    async fn settle(&self, _: DeliveryId, _: &Transition) -> Result<(), LogError> {
        Ok(())
    }

    async fn clear_up(&self, _: AttemptId, _: &Outcome, _: &Transition) -> Result<(), LogError> {
        Ok(())
    }
}

#[async_trait]
impl LateOutcomes for House {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        self.commit(|books| {
            if let Some(logged) = books.attempts.get_mut(&attempt) {
                logged.late.push(outcome.word());
            }
        })
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        let doubtful = |word: &&str| *word == "in_doubt";
        let open =
            |one: &Logged| one.end.as_ref().is_none_or(doubtful) && one.late.iter().all(doubtful);
        let unsettled = |one: &Logged| {
            let session = one.attempt.session.clone().filter(|s| s.agent == *agent)?;
            let (generation, journal) = (session.generation, session.journal);
            open(one).then_some(UnsettledAttempt { id: one.attempt.id, generation, journal })
        };
        Ok(self.books().attempts.values().filter_map(unsettled).collect())
    }
}

impl Sessions for House {
    fn opened(&self, provider: Arc<RemoteProvider>, session: AgentSession, window: u32) {
        self.change(|books| {
            books.news.push(format!("{} opened", session.agent));
            books.open.insert(session.agent.clone(), (provider, session, window));
        });
    }

    fn beat(&self, _: &ProviderId, _: &AgentId, _: u64, _: u32) {
        self.change(|books| books.beats += 1);
    }

    fn draining(&self, _: &ProviderId, agent: &AgentId, _: u64) {
        self.change(|books| books.news.push(format!("{agent} draining")));
    }

    fn ready(&self, _: &ProviderId, agent: &AgentId, _: u64, window: u32) {
        self.change(|books| {
            books.news.push(format!("{agent} ready with {window}"));
            if let Some(open) = books.open.get_mut(agent) {
                open.2 = window;
            }
        });
    }

    fn closed(&self, _: &ProviderId, agent: &AgentId, generation: u64) {
        self.change(|books| {
            books.news.push(format!("{agent} closed"));
            if books.open.get(agent).is_some_and(|open| open.1.generation == generation) {
                books.open.remove(agent);
            }
        });
    }
}

#[async_trait]
impl Directory for House {
    /// Who is called `guarded` needs the token `secret`; nobody else needs any.
    async fn admit(&self, caller: &Caller<'_>) -> Result<(), Refusal> {
        let token = caller.token.map(|token| token.expose_secret());
        if caller.agent.as_str() == "guarded" && token != Some("secret") {
            let (agent, reason) = (caller.agent.clone(), "the token is not its own".into());
            return Err(Refusal::Unauthenticated { agent, reason });
        }
        Ok(())
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, Refusal> {
        Ok(self.change(|books| {
            let generation = books.generations.entry(agent.clone()).or_default();
            *generation += 1;
            *generation
        }))
    }

    async fn may_start(&self, _: AttemptId, _: u64) -> bool {
        self.change(|books| books.go_asked += 1);
        self.until(|books| (!books.go_held).then_some(books.may_start)).await
    }
}
