//! A provider that does as it is told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::{
    Attempt, Capabilities, Doubt, Email, EmailAddress, EmailProvider, Failure, Lookup, MessageId,
    ProviderId, Receipt, SendError,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// What a [`ScriptedProvider`] does next. Waits go on with the step after them in the same call.
#[derive(Clone, Debug)]
pub enum Step {
    /// Takes the mail; the receipt's id is `<provider>-<n>`.
    Accept,
    /// Takes the mail and gives this receipt, which may name refused and deferred recipients.
    AcceptAs(Receipt),
    /// Takes the mail, and the answer is lost: the call fails, the mail went out.
    AcceptThenFail(SendError),
    /// Fails, and the mail did not go out.
    Fail(SendError),
    /// Waits that long.
    Delay(Duration),
    /// Waits until [`release`](ScriptedProvider::release).
    Hang,
    /// Waits until released, even past the attempt's timeout, which breaks the contract.
    Stuck,
}

impl Step {
    /// Fails like this.
    pub fn fail(failure: Failure) -> Self {
        Self::Fail(SendError::new(failure, "scripted"))
    }
}

/// One call of [`send`](EmailProvider::send).
#[derive(Clone, Debug)]
pub struct Call {
    /// The attempt it was made for.
    pub attempt: Attempt,
    /// The message.
    pub message: MessageId,
    /// The envelope's recipients.
    pub recipients: Vec<EmailAddress>,
    /// When it began.
    pub at: Instant,
}

#[derive(Debug, Default)]
struct State {
    capabilities: Arc<Capabilities>,
    script: VecDeque<Step>,
    otherwise: Option<Step>,
    probes: VecDeque<Result<(), SendError>>,
    lookups: VecDeque<Result<Lookup, SendError>>,
    calls: Vec<Call>,
    accepted: Vec<MessageId>,
    receipts: HashMap<String, Receipt>,
    /// What it answered for good under a key, while it took keys.
    answers: HashMap<String, Result<Receipt, SendError>>,
    probed: usize,
    looked_up: usize,
    in_flight: usize,
    peak: usize,
}

/// A hand-written fake: it plays a script, accepts once that is over, and remembers every call.
///
/// It keeps the contract of [`EmailProvider`] (but for [`Step::Stuck`]): a wait past the
/// attempt's timeout ends in strong doubt. It works on tokio's paused clock. With the capability
/// `idempotent` it replays what it answered for good under a key, an acceptance or a rejection, so
/// that the same key twice takes the mail once; with `lookup` it answers from what it took.
#[derive(Debug)]
pub struct ScriptedProvider {
    id: ProviderId,
    state: Mutex<State>,
    releases: watch::Sender<u64>,
    changes: watch::Sender<()>,
}

impl ScriptedProvider {
    /// One that accepts all.
    ///
    /// # Panics
    ///
    /// Where the name is not a valid provider id.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.parse().expect("the name is a valid provider id"),
            state: Mutex::default(),
            releases: watch::Sender::new(0),
            changes: watch::Sender::new(()),
        }
    }

    /// Adds a step to the script.
    pub fn then(self, step: Step) -> Self {
        self.script([step]);
        self
    }

    /// Adds steps to the script of one that is already shared.
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().script.extend(steps);
    }

    /// What it does once the script is over, instead of accepting.
    pub fn otherwise(&self, step: Step) {
        self.state().otherwise = Some(step);
    }

    /// Narrows what it can carry.
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        self.set_capabilities(capabilities);
        self
    }

    /// Changes what it can carry from now on.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        self.state().capabilities = Arc::new(capabilities);
    }

    /// The results of the next probes; later ones are green.
    pub fn script_probes(&self, results: impl IntoIterator<Item = Result<(), SendError>>) {
        self.state().probes.extend(results);
    }

    /// The answers to the next look-ups; later ones follow from what was taken.
    pub fn script_lookups(&self, answers: impl IntoIterator<Item = Lookup>) {
        self.state().lookups.extend(answers.into_iter().map(Ok));
    }

    /// How the next look-up fails, after those that are scripted already.
    pub fn fail_lookup(&self, failure: Failure) {
        self.state().lookups.push_back(Err(SendError::new(failure, "scripted")));
    }

    /// Ends [`Step::Hang`] and [`Step::Stuck`] in every call that has begun.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Every call so far, in the order they began.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls there were.
    pub fn call_count(&self) -> usize {
        self.state().calls.len()
    }

    /// Waits until that many calls have begun.
    pub async fn called(&self, calls: usize) {
        self.until(|state| state.calls.len() >= calls).await;
    }

    /// The messages that went out, one entry each time: a message twice is a duplicate.
    pub fn accepted(&self) -> Vec<MessageId> {
        self.state().accepted.clone()
    }

    /// Waits until that many messages went out.
    pub async fn has_accepted(&self, messages: usize) {
        self.until(|state| state.accepted.len() >= messages).await;
    }

    /// How many calls are under way.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// The most calls that were ever under way at once.
    pub fn peak_in_flight(&self) -> usize {
        self.state().peak
    }

    /// How many probes there were.
    pub fn probe_count(&self) -> usize {
        self.state().probed
    }

    /// How many look-ups there were.
    pub fn lookup_count(&self) -> usize {
        self.state().looked_up
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not hide its own message behind this one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        while !reached(&self.state()) {
            changes.changed().await.expect("the sender lives as long as self");
        }
    }

    fn next_step(&self) -> Step {
        let mut state = self.state();
        state.script.pop_front().or_else(|| state.otherwise.clone()).unwrap_or(Step::Accept)
    }

    fn accept(
        &self,
        email: &Email,
        attempt: &Attempt,
        receipt: Option<Receipt>,
    ) -> Result<Receipt, SendError> {
        let mut state = self.state();
        let key = attempt.idempotency_key();
        if let Some(earlier) = state.replayed(&key) {
            return earlier;
        }
        state.accepted.push(email.id());
        let number = state.accepted.len();
        let receipt = receipt.unwrap_or_else(|| Receipt::new(format!("{}-{number}", self.id)));
        state.receipts.insert(key.clone(), receipt.clone());
        state.keep(key, &Ok(receipt.clone()));
        drop(state);
        self.changes.send_replace(());
        Ok(receipt)
    }

    /// Fails, unless it is a rejection and the key has another answer already.
    fn fail(&self, attempt: &Attempt, error: SendError) -> Result<Receipt, SendError> {
        let error = Err(error);
        let Err(Failure::Rejected(_)) = error.as_ref().map_err(SendError::failure) else {
            return error;
        };
        let mut state = self.state();
        let key = attempt.idempotency_key();
        state.replayed(&key).unwrap_or_else(|| {
            state.keep(key, &error);
            error
        })
    }
}

impl State {
    /// What it answered under this key before.
    fn replayed(&self, key: &str) -> Option<Result<Receipt, SendError>> {
        self.answers.get(key).filter(|_| self.capabilities.idempotent).cloned()
    }

    fn keep(&mut self, key: String, answer: &Result<Receipt, SendError>) {
        if self.capabilities.idempotent {
            self.answers.insert(key, answer.clone());
        }
    }
}

#[async_trait]
impl EmailProvider for ScriptedProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.state().capabilities)
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        // Subscribed before anybody can see the call, so that no release after that is missed.
        let mut releases = self.releases.subscribe();
        let _under_way = UnderWay::begin(self, email, attempt);
        let deadline = Instant::now() + attempt.timeout;
        let no_answer = || SendError::new(Failure::InDoubt(Doubt::Strong), "no answer in time");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next_step() {
                Step::Accept => return self.accept(email, attempt, None),
                Step::AcceptAs(receipt) => return self.accept(email, attempt, Some(receipt)),
                Step::AcceptThenFail(error) => {
                    // Whatever it answers is lost.
                    drop(self.accept(email, attempt, None));
                    return Err(error);
                }
                Step::Fail(error) => return self.fail(attempt, error),
                Step::Delay(pause) if pause <= left => sleep(pause).await,
                Step::Delay(_) => {
                    sleep(left).await;
                    return Err(no_answer());
                }
                Step::Hang => match timeout(left, releases.changed()).await {
                    Ok(released) => released.expect("the sender lives as long as self"),
                    Err(_) => return Err(no_answer()),
                },
                Step::Stuck => {
                    releases.changed().await.expect("the sender lives as long as self");
                }
            }
        }
    }

    async fn lookup(&self, attempt: &Attempt) -> Result<Lookup, SendError> {
        let mut state = self.state();
        state.looked_up += 1;
        if let Some(scripted) = state.lookups.pop_front() {
            return scripted;
        }
        if !state.capabilities.lookup {
            return Ok(Lookup::CannotTell);
        }
        let receipt = state.receipts.get(&attempt.idempotency_key()).cloned();
        Ok(receipt.map_or(Lookup::NotFound, Lookup::Found))
    }

    async fn probe(&self) -> Result<(), SendError> {
        let mut state = self.state();
        state.probed += 1;
        state.probes.pop_front().unwrap_or(Ok(()))
    }
}

/// Counts a call as under way until it returns or is dropped.
struct UnderWay<'a>(&'a ScriptedProvider);

impl<'a> UnderWay<'a> {
    fn begin(provider: &'a ScriptedProvider, email: &Email, attempt: &Attempt) -> Self {
        let mut state = provider.state();
        state.calls.push(Call {
            attempt: attempt.clone(),
            message: email.id(),
            recipients: email.envelope().recipients().to_vec(),
            at: Instant::now(),
        });
        state.in_flight += 1;
        state.peak = state.peak.max(state.in_flight);
        drop(state);
        provider.changes.send_replace(());
        Self(provider)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.changes.send_replace(());
    }
}
