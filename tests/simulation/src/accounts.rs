//! The providers' accounts: how they feel at present, and what they really took.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::{
    Attempt, AttemptId, Capabilities, Cause, Doubt, Email, EmailAddress, EmailProvider, Failure,
    Fault, Lookup, MessageId, ProviderId, Receipt, Scope, SendError, draws::Draws,
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    net::{Host, Net},
    trace::Trace,
};

/// How an account answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Connections are refused.
    Refusing,
    /// The account is at fault.
    Faulty(Fault),
    Throttling(Option<Duration>),
    /// A 500 that says nothing; some of that mail was taken.
    Vague,
    /// The connection breaks after the body; some of that mail was taken.
    Breaking,
    /// Nothing is answered; all of that mail is taken.
    Stalled,
    /// Every second answer is a refusal.
    Flaky,
}

/// One acceptance, as the provider's own log has it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) message: MessageId,
    pub(crate) recipient: EmailAddress,
    pub(crate) attempt: AttemptId,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    draws: Draws,
    taken: Vec<Taken>,
    early_calls: u64,
    /// How often it put off each recipient.
    deferred: BTreeMap<(MessageId, EmailAddress), u64>,
    /// What it answered for good under which idempotency key.
    keys: HashMap<String, Answer>,
}

/// An account at a provider.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: ProviderId,
    capabilities: Arc<Capabilities>,
    state: Mutex<State>,
    moods: watch::Sender<Mood>,
    /// Requests that were handed over are worked on whether or not anybody waits.
    working: Mutex<JoinSet<()>>,
    trace: Trace,
}

impl Account {
    pub(crate) fn new(id: ProviderId, seed: u64, idempotent: bool, trace: Trace) -> Arc<Self> {
        // Who refuses or puts off some recipients takes the others by the envelope.
        let capabilities = Capabilities {
            idempotent,
            lookup: idempotent,
            envelope: true,
            ..Capabilities::default()
        };
        let state = State {
            mood: Mood::Fine,
            draws: Draws::new(seed),
            taken: Vec::new(),
            early_calls: 0,
            deferred: BTreeMap::new(),
            keys: HashMap::new(),
        };
        Arc::new(Self {
            id,
            capabilities: Arc::new(capabilities),
            state: Mutex::new(state),
            moods: watch::Sender::new(Mood::Fine),
            working: Mutex::default(),
            trace,
        })
    }

    pub(crate) fn known_capabilities(&self) -> Capabilities {
        (*self.capabilities).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
        self.moods.send_replace(mood);
    }

    /// All that it took.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state().taken.clone()
    }

    /// Requests that came from who had been told to pause.
    pub(crate) fn early_calls(&self) -> u64 {
        self.state().early_calls
    }

    /// How often it put off a recipient of a message.
    pub(crate) fn deferrals(&self, message: MessageId, recipient: &str) -> u64 {
        let deferred = &self.state().deferred;
        let of = deferred.iter().filter(|((id, to), _)| *id == message && to.as_str() == recipient);
        of.map(|(_, count)| *count).sum()
    }

    /// Works on a request that has arrived. Sends nothing where the connection breaks.
    async fn work(
        self: Arc<Self>,
        email: Email,
        attempt: Attempt,
        answer: oneshot::Sender<Answer>,
    ) {
        let (thinks, mood) = {
            let mut state = self.state();
            (Duration::from_millis(20 + state.draws.below(180) as u64), state.mood)
        };
        sleep(thinks).await;
        let answered = self.decide(mood, &email, &attempt);
        if mood == Mood::Stalled {
            let mut moods = self.moods.subscribe();
            let _ = moods.wait_for(|now| *now != Mood::Stalled).await;
        }
        if let Some(result) = answered {
            // Whoever asked may be gone; what was taken stays taken.
            let _ = answer.send(result);
        }
    }

    fn decide(&self, mood: Mood, email: &Email, attempt: &Attempt) -> Option<Answer> {
        let fail = |failure, detail: &str| Some(Err(SendError::new(failure, detail)));
        let mut state = self.state();
        match mood {
            Mood::Fine | Mood::Stalled => Some(self.judge(&mut state, email, attempt)),
            Mood::Flaky if state.draws.chance(500) => {
                fail(Failure::Unavailable, "try again, nothing was taken")
            }
            Mood::Flaky => Some(self.judge(&mut state, email, attempt)),
            Mood::Refusing => fail(Failure::Unavailable, "connection refused"),
            Mood::Faulty(fault) => fail(Failure::AccountFault(fault), "not with this account"),
            Mood::Throttling(retry_after) => {
                fail(Failure::Throttled { retry_after }, "too many requests")
            }
            Mood::Vague => {
                if state.draws.chance(500) {
                    let _ = self.judge(&mut state, email, attempt);
                }
                fail(Failure::InDoubt(Doubt::Weak), "an internal error")
            }
            Mood::Breaking => {
                if state.draws.chance(600) {
                    let _ = self.judge(&mut state, email, attempt);
                }
                None
            }
        }
    }

    /// What the account says to the request: where it takes keys, what it said the first time.
    fn judge(&self, state: &mut State, email: &Email, attempt: &Attempt) -> Answer {
        let key = attempt.idempotency_key();
        if let Some(answer) = state.keys.get(&key) {
            return answer.clone();
        }
        let answer = self.weigh(state, email, attempt);
        if self.capabilities.idempotent {
            state.keys.insert(key, answer.clone());
        }
        answer
    }

    /// What the account says to the message itself.
    fn weigh(&self, state: &mut State, email: &Email, attempt: &Attempt) -> Answer {
        let subject = email.subject();
        let rejected = |scope| Err(SendError::new(Failure::Rejected(scope), "a bad message"));
        if subject.starts_with("bad") {
            return rejected(Scope::Message);
        }
        if subject.starts_with("odd") {
            return rejected(Scope::Unexplained);
        }
        if subject.starts_with("large") && self.id.as_str() == "alpha" {
            return Err(SendError::new(Failure::Unsupported, "too large"));
        }
        let of = |word: &str| {
            let all = email.envelope().recipients().iter();
            all.filter(|one| one.as_str().starts_with(word)).cloned().collect::<Vec<_>>()
        };
        let unknown = of("unknown");
        if !unknown.is_empty() {
            return rejected(Scope::Recipients(unknown));
        }
        let id = format!("{}-{}", self.id, state.taken.len());
        let deferred = if state.draws.chance(500) { of("later") } else { Vec::new() };
        let receipt = Receipt { provider_message_id: id, refused: of("refused"), deferred };
        for recipient in &receipt.deferred {
            *state.deferred.entry((email.id(), recipient.clone())).or_default() += 1;
        }
        for recipient in email.envelope().recipients() {
            if !receipt.refused.contains(recipient) && !receipt.deferred.contains(recipient) {
                self.trace.note(|| format!("{} took {} for {recipient}", self.id, email.id()));
                let (message, recipient, attempt) = (email.id(), recipient.clone(), attempt.id);
                state.taken.push(Taken { message, recipient, attempt });
            }
        }
        Ok(receipt)
    }
}

type Answer = Result<Receipt, SendError>;

/// The account as one agent's process, or the server's, reaches it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) account: Arc<Account>,
    pub(crate) net: Net,
    pub(crate) host: Host,
    /// Until when this process knows that it must not call.
    paused: Mutex<Option<Instant>>,
}

impl Reached {
    pub(crate) fn new(account: Arc<Account>, net: Net, host: Host) -> Self {
        Self { account, net, host, paused: Mutex::default() }
    }

    /// Notes a pause that was asked for, once it is known here.
    fn note_pause(&self, answer: &Answer) {
        let Err(error) = answer else { return };
        if let Failure::Throttled { retry_after } = error.failure() {
            let pause = retry_after.unwrap_or_default().max(Duration::from_secs(1));
            *self.paused.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now() + pause);
        }
    }

    fn check_pause(&self) {
        let paused = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_some_and(|until| Instant::now() < until) {
            self.account.state().early_calls += 1;
            self.account
                .trace
                .note(|| format!("EARLY call of {} by {}", self.account.id, self.host));
        }
    }

    /// A stopped process reaches nobody.
    async fn awake(&self) {
        while self.net.is_frozen(self.host) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn travels(&self) {
        let millis = 2 + self.account.state().draws.below(20) as u64;
        sleep(Duration::from_millis(millis)).await;
        self.awake().await;
    }
}

#[async_trait]
impl EmailProvider for Reached {
    fn id(&self) -> &ProviderId {
        &self.account.id
    }

    fn kind(&self) -> &str {
        "simulated"
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.account.capabilities)
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        self.check_pause();
        self.travels().await;
        if self.account.state().mood == Mood::Refusing {
            let refused = SendError::new(Failure::Unavailable, "connection refused");
            return Err(refused.caused_by(Cause::Link));
        }
        let (answer, answered) = oneshot::channel();
        let work = Arc::clone(&self.account).work(email.clone(), attempt.clone(), answer);
        self.account.working.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
        let strong = |why| SendError::new(Failure::InDoubt(Doubt::Strong), why);
        let result = match timeout(attempt.timeout, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(strong("the connection broke")),
            Err(_) => Err(strong("no answer in time")),
        };
        self.travels().await;
        self.note_pause(&result);
        result
    }

    async fn lookup(&self, attempt: &Attempt) -> Result<Lookup, SendError> {
        self.travels().await;
        let state = self.account.state();
        if !self.account.capabilities.lookup {
            return Ok(Lookup::CannotTell);
        }
        if state.mood != Mood::Fine {
            return Err(SendError::new(Failure::Unavailable, "not now"));
        }
        let known = state.keys.get(&attempt.idempotency_key());
        Ok(match known {
            Some(Ok(receipt)) => Lookup::Found(receipt.clone()),
            Some(Err(_)) | None => Lookup::NotFound,
        })
    }

    async fn probe(&self) -> Result<(), SendError> {
        self.travels().await;
        let mood = self.account.state().mood;
        let fails = |failure| Err(SendError::new(failure, "as the probe was told"));
        match mood {
            Mood::Fine | Mood::Vague | Mood::Breaking | Mood::Flaky => Ok(()),
            Mood::Refusing => fails(Failure::Unavailable),
            Mood::Faulty(Fault::Key) => fails(Failure::AccountFault(Fault::Key)),
            // A probe can't see these.
            Mood::Faulty(_) => Ok(()),
            Mood::Throttling(retry_after) => fails(Failure::Throttled { retry_after }),
            Mood::Stalled => std::future::pending().await,
        }
    }
}
