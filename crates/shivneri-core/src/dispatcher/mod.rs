//! The dispatcher: offers one delivery to one provider after another until its fate is known.

mod choose;
mod clarify;
mod drive;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

pub use verdict::{Deferral, Verdict};

use self::{
    choose::{Choice, Nobody, Run},
    clarify::Request,
};
use crate::{
    Attempt, AttemptId, AttemptLog, Cause, Clock, Delivery, Doubt, Email, Failure, LogError,
    Outcome, PastAttempt, Permit, Registry, Scope, SendError, Transition,
    decision::{self, Step},
    delivery::PastEnd,
    scheduler::{LeastLatency, Scheduler},
};

/// Grace on top of an attempt's timeout before a provider that breaks its contract is given up.
const GRACE: Duration = Duration::from_secs(5);
/// The longest life of a key that is believed in; mail is given up long before.
const LONGEST_KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How soon mail is due again that no provider was asked about, for want of a place or because its
/// agent went away; doubled with each attempt.
const SOON: Duration = Duration::from_millis(50);
/// Failures that put a message into quarantine, if at least two providers had them.
const POISONOUS: usize = 3;

/// Offers deliveries to providers: each provider at most once for each call, the next one at once
/// where the mail was certainly not sent, and nobody else where it perhaps was.
///
/// ```
/// use std::{sync::Arc, time::SystemTime};
/// use shivneri_core::{Delivery, Dispatcher, Email, Registry, Verdict, Deferral};
/// use shivneri_core::health::HealthPolicy;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let registry = Registry::new(HealthPolicy::default());
/// let dispatcher = Dispatcher::new(registry);
/// let email = Email::builder("a@example.com".parse()?).to("b@example.org".parse()?).text("hi").build()?;
/// let verdict = dispatcher.dispatch(&Delivery::new(email, SystemTime::now()), &()).await?;
/// // Nobody was added to the registry yet: the mail waits.
/// assert!(matches!(verdict, Verdict::Deferred(Deferral::Held { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dispatcher {
    registry: Arc<Registry>,
    factory: Box<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>,
    /// One scheduler for each tier in use, each with positions of its own.
    schedulers: Mutex<BTreeMap<u8, Box<dyn Scheduler>>>,
    /// Held while a message in quarantine is offered: one at a time.
    quarantine: tokio::sync::Mutex<()>,
    clock: Clock,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher over these providers, with the default scheduler.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self::with_scheduler(registry, || Box::new(LeastLatency))
    }

    /// The same with a scheduler of one's own; one is made for each tier.
    pub fn with_scheduler(
        registry: Arc<Registry>,
        factory: impl Fn() -> Box<dyn Scheduler> + Send + Sync + 'static,
    ) -> Self {
        Self {
            registry,
            factory: Box::new(factory),
            schedulers: Mutex::default(),
            quarantine: tokio::sync::Mutex::default(),
            clock: Clock::default(),
        }
    }

    /// The same with another clock, which the log it commits to should go by as well.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The providers.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Offers a delivery until its fate is known for now, and commits each step to `log`.
    ///
    /// Cancel-safe for permits, not for mail: dropping this future while a provider is being
    /// called leaves that attempt open in the log, and the message in doubt.
    ///
    /// # Errors
    ///
    /// [`LogError`] where the log could not commit. Before an attempt that means nothing was
    /// sent; after one it stays open.
    pub async fn dispatch(
        &self,
        delivery: &Delivery,
        log: &dyn AttemptLog,
    ) -> Result<Verdict, LogError> {
        let asked = delivery.awaiting.filter(|_| delivery.is_in_doubt());
        if let Some(awaiting) = asked
            && let Some(verdict) = self.clarify(delivery, awaiting, log).await?
        {
            return Ok(verdict);
        }
        let is_too_old = asked.is_some() && delivery.deadline <= self.clock.now();
        let end = is_too_old.then(|| decision::expiry(delivery));
        if let Some(end) = end.or_else(|| decision::after_doubt(delivery)) {
            log.settle(delivery.id, &end).await?;
            return Ok(Verdict::InDoubt { until: None });
        }
        let poisonous = self.is_poisonous(delivery);
        // Never awaited: what waits for its turn must not keep a courier from other mail.
        let Ok(_alone) = poisonous.then(|| self.quarantine.try_lock()).transpose() else {
            let reason =
                "in quarantine, and another message in quarantine is being tried".to_owned();
            return Ok(Verdict::Deferred(Deferral::Held { reason, busy: true }));
        };
        let mut run = Run {
            delivery: delivery.clone(),
            tried: Vec::new(),
            unsupported: Vec::new(),
            paused: Vec::new(),
            again: false,
        };
        let mut choice = match self.choose(&run) {
            Ok(choice) => choice,
            Err(nobody) => return self.nobody_to_ask(&run, nobody, log).await,
        };
        loop {
            if poisonous {
                choice.permit.quarantine();
            }
            let now = self.clock.now();
            let known = clarify::known_request(&run.delivery, &choice, now);
            let mut attempt = attempt(&run.delivery, &choice, known, now);
            log.begin(&attempt).await?;
            let outcome = match known {
                Some(known) => self.offer_again(&choice, &run.delivery, &mut attempt, known).await,
                None => offer(&choice.permit, &run.delivery.email, &attempt).await,
            };
            choice.permit.finish(&outcome);
            let now = self.clock.now();
            let step = self.step(&run.delivery, &outcome, &attempt, now);
            tracing::debug!(
                message = %attempt.message,
                provider = %attempt.provider,
                number = attempt.number,
                outcome = outcome.word(),
                "attempt ended"
            );
            remember(&mut run, &attempt, &outcome, now);
            let transition = match step {
                Step::Done(transition) => self.timed(&run.delivery, transition, &outcome, now),
                Step::Failover { pause } => {
                    run.paused.extend(pause.map(|pause| (attempt.provider.clone(), pause)));
                    match self.choose(&run) {
                        Ok(next) => {
                            log.end(&attempt, &outcome, &Transition::Continue).await?;
                            if !next.permit.is_shut(Instant::now()) {
                                choice = next;
                                continue;
                            }
                            // The commit took its time, and that provider asks for a pause now.
                            drop(next);
                            match self.choose(&run) {
                                Ok(next) => {
                                    choice = next;
                                    continue;
                                }
                                Err(nobody) => {
                                    let end = self.later(&run.delivery, &outcome, &nobody, now);
                                    log.settle(run.delivery.id, &end).await?;
                                    return Ok(verdict(attempt, outcome, end));
                                }
                            }
                        }
                        Err(nobody) => self.later(&run.delivery, &outcome, &nobody, now),
                    }
                }
            };
            log.end(&attempt, &outcome, &transition).await?;
            return Ok(verdict(attempt, outcome, transition));
        }
    }

    async fn nobody_to_ask(
        &self,
        run: &Run,
        nobody: Nobody,
        log: &dyn AttemptLog,
    ) -> Result<Verdict, LogError> {
        let Nobody { reason, forever, busy, pause: _ } = nobody;
        if !forever {
            return Ok(Verdict::Deferred(Deferral::Held { reason, busy }));
        }
        if run.delivery.was_perhaps_sent() {
            log.settle(run.delivery.id, &Transition::InDoubt { reason }).await?;
            return Ok(Verdict::InDoubt { until: None });
        }
        log.settle(run.delivery.id, &Transition::Rejected { reason: reason.clone() }).await?;
        Ok(Verdict::Rejected { reason })
    }

    fn step(
        &self,
        delivery: &Delivery,
        outcome: &Outcome,
        attempt: &Attempt,
        now: SystemTime,
    ) -> Step {
        let unexplained = outcome.past_end() == Some(PastEnd::Unexplained);
        // Only an unexplained rejection asks for the others, and that is rare.
        let alternatives =
            unexplained
                && self.registry.entries().iter().any(|entry| {
                    entry.id != attempt.provider && entry.can_never(delivery).is_none()
                });
        let suspended = unexplained
            && self
                .registry
                .entry(&attempt.provider)
                .is_some_and(|entry| entry.live().rejections.is_suspicious(Instant::now()));
        if suspended {
            tracing::warn!(provider = %attempt.provider, "provider rejects far more than it used to; its word is not final");
        }
        decision::step(delivery, outcome, &attempt.provider, now, alternatives, suspended)
    }

    /// Gives a doubt its time by strength and schedule.
    fn timed(
        &self,
        delivery: &Delivery,
        transition: Transition,
        outcome: &Outcome,
        now: SystemTime,
    ) -> Transition {
        let doubt = match outcome.past_end() {
            Some(PastEnd::InDoubt(doubt)) => doubt,
            Some(
                PastEnd::Unexplained
                | PastEnd::Recipients
                | PastEnd::Unavailable
                | PastEnd::Uncounted,
            )
            | None => return transition,
        };
        let until = decision::doubt_until(delivery, doubt, now, self.registry.draw());
        self.ask_next(delivery, until, now)
    }

    /// Nobody else can be asked: it waits, or it ends where nobody ever could.
    fn later(
        &self,
        delivery: &Delivery,
        outcome: &Outcome,
        nobody: &Nobody,
        now: SystemTime,
    ) -> Transition {
        let said = outcome.error().map_or("", |error| error.detail());
        if nobody.forever {
            let reason = nobody.reason.clone();
            return if delivery.was_perhaps_sent() {
                Transition::InDoubt { reason }
            } else {
                Transition::Rejected { reason }
            };
        }
        let at = decision::retry_at(delivery, nobody.pause, now, self.registry.draw());
        // A place is all that is missing, or it never reached a provider: that is no failure to
        // back off from, unless it goes on.
        let soon = nobody.busy || outcome.error().is_some_and(SendError::is_not_started);
        let at = if soon {
            let times = delivery.history.len().saturating_sub(1).min(16);
            at.min(now + SOON * (1 << times))
        } else {
            at
        };
        Transition::Retry { at, reason: format!("{}: {said}", outcome.word()) }
    }

    /// Whether a message that failed three times at two providers, while others went through
    /// there, is itself the likely cause.
    fn is_poisonous(&self, delivery: &Delivery) -> bool {
        let failed: Vec<&PastAttempt> =
            delivery.history.iter().filter(|past| past.counts()).collect();
        let (Some(first), true) = (failed.first(), failed.len() >= POISONOUS) else { return false };
        let elsewhere = failed.iter().any(|past| past.provider != first.provider);
        let ago = self.clock.now().duration_since(first.ended_at).unwrap_or_default();
        let others_succeed = failed.iter().all(|past| {
            let entry = self.registry.entry(&past.provider);
            entry.is_some_and(|e| e.live().last_success.is_some_and(|at| at.elapsed() < ago))
        });
        elsewhere && others_succeed
    }
}

/// An attempt at the chosen provider; `known` is the request that it makes again, if it does.
fn attempt(
    delivery: &Delivery,
    choice: &Choice,
    known: Option<Request>,
    now: SystemTime,
) -> Attempt {
    // Asked only now that the permit has settled which agent it goes to.
    let capabilities = choice.permit.provider().capabilities();
    let key_life = capabilities.key_life.min(LONGEST_KEY_LIFE);
    let number = delivery.next_number();
    let (request, key_until) = match known {
        Some(Request { number, key_until }) => (number, Some(key_until)),
        None => (number, capabilities.idempotent.then(|| now + key_life)),
    };
    Attempt {
        id: AttemptId::new(),
        delivery: delivery.id,
        message: delivery.message(),
        number,
        provider: choice.permit.provider_id().clone(),
        request,
        session: choice.permit.session().cloned(),
        epoch: delivery.epoch,
        reason: choice.reason.clone(),
        on_doubt: delivery.on_doubt,
        possible_duplicate: delivery.was_perhaps_sent(),
        repetition: false,
        key_until,
        started_at: now,
        timeout: choice.permit.timeout(),
    }
}

/// Calls the provider, once; not at all where it asked for a pause, or went away, while the attempt
/// was recorded.
async fn offer(permit: &Permit, email: &Email, attempt: &Attempt) -> Outcome {
    if permit.is_shut(Instant::now()) {
        let why = "the provider took no more mail once the attempt was recorded";
        return Outcome::Failed(SendError::not_started(why));
    }
    let call = permit.provider().send(email, attempt);
    match tokio::time::timeout(attempt.timeout + GRACE, call).await {
        Ok(result) => result.into(),
        Err(_) => Outcome::Failed(SendError::new(
            Failure::InDoubt(Doubt::Strong),
            format!("no answer within {} s", attempt.timeout.as_secs()),
        )),
    }
}

/// Takes an attempt's end into the run: what was tried, and who is no recipient any more.
fn remember(run: &mut Run, attempt: &Attempt, outcome: &Outcome, now: SystemTime) {
    let Outcome::Failed(error) = outcome else { return };
    run.again = error.cause() != Cause::Agent;
    let mut may_be_asked_again = false;
    match error.failure() {
        Failure::Rejected(Scope::Recipients(refused)) => {
            let before = run.delivery.email.envelope().recipients().len();
            if let Ok(rest) = run.delivery.email.without(refused) {
                may_be_asked_again = rest.envelope().recipients().len() < before;
                run.delivery.email = Arc::new(rest);
                run.again = false;
            }
        }
        Failure::Unsupported => run.unsupported.push(attempt.provider.clone()),
        Failure::Rejected(Scope::Message | Scope::Unexplained)
        | Failure::AccountFault(_)
        | Failure::Throttled { .. }
        | Failure::Unavailable
        | Failure::InDoubt(_) => {}
    }
    if !may_be_asked_again {
        run.tried.push(attempt.provider.clone());
    }
    if let Some(end) = outcome.past_end() {
        run.delivery.history.push(PastAttempt {
            id: attempt.id,
            number: attempt.number,
            provider: attempt.provider.clone(),
            request: attempt.request,
            end,
            possible_duplicate: attempt.possible_duplicate,
            repetition: attempt.repetition,
            key_until: attempt.key_until,
            ended_at: now,
        });
    }
}

fn verdict(attempt: Attempt, outcome: Outcome, transition: Transition) -> Verdict {
    match (transition, outcome) {
        (_, Outcome::Accepted(receipt)) => {
            Verdict::Accepted { attempt: attempt.id, provider: attempt.provider, receipt }
        }
        (Transition::Rejected { reason }, Outcome::Failed(_)) => Verdict::Rejected { reason },
        (Transition::Ask { until, .. } | Transition::Doubt { until }, Outcome::Failed(_)) => {
            Verdict::InDoubt { until: Some(until) }
        }
        (Transition::Retry { at, reason }, Outcome::Failed(_)) => {
            Verdict::Deferred(Deferral::Retry { at, reason })
        }
        (
            Transition::InDoubt { .. }
            | Transition::Expired
            | Transition::Accepted
            | Transition::Continue,
            Outcome::Failed(_),
        ) => Verdict::InDoubt { until: None },
    }
}
