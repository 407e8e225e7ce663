//! Asking for evidence while an attempt is in doubt: the same request again where the provider
//! knows it by its key, and look-ups where it can be asked.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    Dispatcher, attempt,
    choose::{Choice, Run},
    offer, verdict,
};
use crate::{
    Attempt, AttemptId, AttemptLog, Capabilities, Delivery, LogError, Lookup, Outcome, PastAttempt,
    Receipt, SendError, Transition, Verdict,
    decision::{self, Means},
    delivery::Awaiting,
    health::{HealthEvent, Signal},
    registry::Entry,
};

/// How long one look-up may take.
const LOOK_UP: Duration = Duration::from_secs(10);
/// The rest of a key's life in which the same request is still put again: time enough for an
/// answer in it.
const WORTH_ASKING: Duration = Duration::from_secs(5);

/// What a look-up has found.
struct Found {
    attempt: AttemptId,
    provider: crate::ProviderId,
    receipt: Receipt,
}

/// A request that its provider knows by its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// The number of the attempt that first made it.
    pub(super) number: u32,
    /// Until when it is known by it.
    pub(super) key_until: SystemTime,
}

impl Dispatcher {
    /// Asks for evidence, once, and commits what follows. `None` where the wait is over and
    /// nothing was found: then the delivery's own word on doubt counts.
    pub(super) async fn clarify(
        &self,
        delivery: &Delivery,
        awaiting: Awaiting,
        log: &dyn AttemptLog,
    ) -> Result<Option<Verdict>, LogError> {
        let Awaiting { ask, until } = awaiting;
        let since = delivery.doubt_since().map_or(ask, |(since, _)| since);
        let end = until.min(delivery.deadline);
        // What was to be asked earlier, and had to wait for its turn, is not given up unasked.
        let is_last = self.clock.now() >= end;
        let is_asked = self.may_look_up(delivery);
        if (is_last || decision::is_look_up_due(since, until, ask))
            && let Some(found) = self.look_up(delivery).await
        {
            let Found { attempt, provider, receipt } = found;
            let outcome = Outcome::Accepted(receipt.clone());
            log.clear_up(attempt, &outcome, &Transition::Accepted).await?;
            tracing::info!(message = %delivery.message(), %provider, "a look-up settled a doubt");
            return Ok(Some(Verdict::Accepted { attempt, provider, receipt }));
        }
        let now = self.clock.now();
        if now >= end {
            // Whoever waits for a place after this is not to be asked again each time.
            if is_asked && now < delivery.deadline {
                log.settle(delivery.id, &Transition::Doubt { until: now }).await?;
                return Ok(Some(Verdict::InDoubt { until: Some(now) }));
            }
            return Ok(None);
        }
        let until = end;
        if let Some((choice, request)) = self.same_request(delivery) {
            return self.repeat(delivery, choice, request, until, log).await.map(Some);
        }
        log.settle(delivery.id, &self.ask_next(delivery, until, now)).await?;
        Ok(Some(Verdict::InDoubt { until: Some(until) }))
    }

    /// Whether some provider in doubt can be asked, and may be now, whether an attempt went out.
    pub fn may_look_up(&self, delivery: &Delivery) -> bool {
        let doubts = own_doubts(delivery);
        let mut entries = doubts.filter_map(|past| self.registry.entry(&past.provider));
        entries.any(|entry| may_be_asked(&entry))
    }

    /// When evidence is asked for next, or that it is only awaited.
    pub(super) fn ask_next(
        &self,
        delivery: &Delivery,
        until: SystemTime,
        now: SystemTime,
    ) -> Transition {
        let (since, repeated) = delivery.doubt_since().unwrap_or((now, 0));
        let draw = self.registry.draw();
        match decision::next_ask(self.means(delivery), since, until, repeated, now, draw) {
            Some(at) => Transition::Ask { at, until },
            None => Transition::Doubt { until: until.max(now) },
        }
    }

    fn means(&self, delivery: &Delivery) -> Means {
        let (mut means, now) = (Means::default(), self.clock.now());
        for past in own_doubts(delivery) {
            match self.registry.entry(&past.provider) {
                Some(entry) => {
                    let capabilities = entry.provider.capabilities();
                    means.look_up |= capabilities.lookup;
                    let known = known_there(delivery, &past.provider, &capabilities, now);
                    means.repeat |= known.is_some();
                }
                // Its agents are still away; once they are back it may be able to tell.
                None => means.look_up = true,
            }
        }
        means
    }

    /// Asks each provider in doubt that can be asked, and may be now. That it knows nothing proves
    /// nothing; one that is to be left alone is asked at the next mark, if it may be by then.
    async fn look_up(&self, delivery: &Delivery) -> Option<Found> {
        for past in own_doubts(delivery) {
            let Some(entry) = self.registry.entry(&past.provider) else { continue };
            if !may_be_asked(&entry) {
                continue;
            }
            let question = asked_about(delivery, past);
            match tokio::time::timeout(LOOK_UP, entry.provider.lookup(&question)).await {
                Ok(Ok(Lookup::Found(receipt))) => {
                    let provider = past.provider.clone();
                    return Some(Found { attempt: past.id, provider, receipt });
                }
                Ok(Ok(Lookup::NotFound | Lookup::CannotTell)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(provider = %past.provider, %error, "a look-up failed");
                    let domain = delivery.email.from().address().domain();
                    let signal = Signal::of(&Outcome::Failed(error), domain, Duration::ZERO);
                    let event = HealthEvent::LookUpFailed(&signal);
                    self.registry.step_entry(&entry, event, Instant::now());
                }
                Err(_) => tracing::debug!(provider = %past.provider, "a look-up took too long"),
            }
        }
        None
    }

    /// The right to put the same request once more to a provider in doubt that knows it by its
    /// key; none where there is no such provider, or it can't be asked now.
    ///
    /// What counts is what was recorded as the request began: what the provider takes by now says
    /// nothing of a request that an earlier agent made without a key.
    fn same_request(&self, delivery: &Delivery) -> Option<(Choice, Request)> {
        let (now, today) = (Instant::now(), self.clock.now());
        let snapshot = self.registry.snapshot();
        let run = Run {
            delivery: delivery.clone(),
            tried: Vec::new(),
            unsupported: Vec::new(),
            paused: Vec::new(),
            again: true,
        };
        let mut healthy = snapshot.tiers.iter().flat_map(|tier| &tier.entries);
        healthy.find_map(|entry| {
            let known = || known_there(delivery, &entry.id, &entry.provider.capabilities(), today);
            if known().is_none() || self.denial(&run, entry, now).is_some() {
                return None;
            }
            let permit = self.registry.permit(entry, delivery, false, now)?;
            // An agent that takes no keys may have joined before the permit was for it.
            let request = known()?;
            self.count_try(&run, entry, now);
            let why = "the same request again, by its idempotency key: it is in doubt there";
            let reason = self.explain(&run, &snapshot, entry, why, now);
            Some((Choice { permit, reason }, request))
        })
    }

    /// Offers a request that its provider knows by its key, and not beyond the key's life: the commit
    /// may have taken long.
    pub(super) async fn offer_again(
        &self,
        choice: &Choice,
        delivery: &Delivery,
        attempt: &mut Attempt,
        request: Request,
    ) -> Outcome {
        let left = request.key_until.duration_since(self.clock.now()).unwrap_or_default();
        if left < WORTH_ASKING {
            let why = "its key was about to be forgotten once the attempt was recorded";
            return Outcome::Failed(SendError::not_started(why));
        }
        attempt.timeout = attempt.timeout.min(left);
        offer(&choice.permit, &delivery.email, attempt).await
    }

    /// Puts the same request again, and not beyond its key's life. An acceptance settles the
    /// doubt; whatever else comes of it says nothing of the earlier attempt.
    async fn repeat(
        &self,
        delivery: &Delivery,
        mut choice: Choice,
        request: Request,
        until: SystemTime,
        log: &dyn AttemptLog,
    ) -> Result<Verdict, LogError> {
        let provider = choice.permit.provider_id();
        let mut same = delivery
            .doubts()
            .filter(|past| (past.request, &past.provider) == (request.number, provider));
        let is_marked = same.any(|past| past.possible_duplicate);
        let mut repeated = Attempt {
            possible_duplicate: is_marked,
            repetition: true,
            ..attempt(delivery, &choice, Some(request), self.clock.now())
        };
        log.begin(&repeated).await?;
        let outcome = self.offer_again(&choice, delivery, &mut repeated, request).await;
        choice.permit.finish(&outcome);
        let transition = match outcome.past_end() {
            None => Transition::Accepted,
            Some(end) => {
                let now = self.clock.now();
                let mut after = delivery.clone();
                after.history.push(PastAttempt {
                    id: repeated.id,
                    number: repeated.number,
                    provider: repeated.provider.clone(),
                    request: repeated.request,
                    end,
                    possible_duplicate: repeated.possible_duplicate,
                    repetition: true,
                    key_until: repeated.key_until,
                    ended_at: now,
                });
                self.ask_next(&after, until, now)
            }
        };
        log.end(&repeated, &outcome, &transition).await?;
        Ok(verdict(repeated, outcome, transition))
    }
}

/// The request in doubt at the chosen provider that it knows by its key for as long as it may take
/// to answer: made again, it sends nothing twice.
pub(super) fn known_request(
    delivery: &Delivery,
    choice: &Choice,
    now: SystemTime,
) -> Option<Request> {
    let provider = choice.permit.provider();
    known_there(delivery, choice.permit.provider_id(), &provider.capabilities(), now)
        .filter(|request| request.key_until >= now + choice.permit.timeout())
}

fn known_there(
    delivery: &Delivery,
    provider: &crate::ProviderId,
    capabilities: &Capabilities,
    now: SystemTime,
) -> Option<Request> {
    let past = delivery.request_in_doubt(provider)?;
    let request = Request { number: past.request, key_until: past.key_until? };
    knows_key(capabilities, request.key_until, now).then_some(request)
}

/// The doubts that a look-up can settle. What was inherited is settled with the attempt it is about.
fn own_doubts(delivery: &Delivery) -> impl Iterator<Item = &PastAttempt> {
    delivery.doubts().filter(|past| !past.is_inherited())
}

fn may_be_asked(entry: &Entry) -> bool {
    entry.live().health.may_be_asked(Instant::now()) && entry.provider.capabilities().lookup
}

/// Whether a provider still knows a request by its key for long enough to be asked again. Longer
/// than a key lives would mean that the clock was set back, or that less is promised by now.
fn knows_key(capabilities: &Capabilities, until: SystemTime, now: SystemTime) -> bool {
    let left = until.duration_since(now).unwrap_or_default();
    capabilities.idempotent && left >= WORTH_ASKING && left <= capabilities.key_life
}

/// The earlier attempt as far as a look-up needs it; of its times only its end is known.
fn asked_about(delivery: &Delivery, past: &PastAttempt) -> Attempt {
    Attempt {
        id: past.id,
        number: past.number,
        provider: past.provider.clone(),
        request: past.request,
        delivery: delivery.id,
        message: delivery.message(),
        session: None,
        epoch: delivery.epoch,
        reason: String::new(),
        on_doubt: delivery.on_doubt,
        possible_duplicate: past.possible_duplicate,
        repetition: past.repetition,
        key_until: past.key_until,
        started_at: past.ended_at,
        timeout: LOOK_UP,
    }
}
