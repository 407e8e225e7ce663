//! Asking for evidence while an attempt is in doubt: the same request again where the provider
//! knows it by its key, and look-ups where it can be asked.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Dispatcher, attempt,
    choose::{Choice, Run},
    offer, verdict,
};
use crate::{
    Attempt, AttemptId, AttemptLog, Delivery, LogError, Lookup, Outcome, PastAttempt, Receipt,
    Transition, Verdict,
    decision::{self, Means},
    delivery::{Awaiting, PastEnd},
};

/// How long one look-up may take.
const LOOK_UP: Duration = Duration::from_secs(10);

/// What a look-up has found.
struct Found {
    attempt: AttemptId,
    provider: crate::ProviderId,
    receipt: Receipt,
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
        if decision::is_look_up_due(since, until, ask)
            && let Some(found) = self.look_up(delivery).await
        {
            let Found { attempt, provider, receipt } = found;
            let outcome = Outcome::Accepted(receipt.clone());
            log.clear_up(attempt, &outcome, &Transition::Accepted).await?;
            tracing::info!(message = %delivery.message(), %provider, "a look-up settled a doubt");
            return Ok(Some(Verdict::Accepted { attempt, provider, receipt }));
        }
        let now = self.clock.now();
        if now >= until {
            return Ok(None);
        }
        if let Some(choice) = self.same_request(delivery) {
            return self.repeat(delivery, choice, until, log).await.map(Some);
        }
        log.settle(delivery.id, &self.ask_next(delivery, until, now)).await?;
        Ok(Some(Verdict::InDoubt { until: Some(until) }))
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
        let mut means = Means::default();
        for past in delivery.doubts() {
            match self.registry.entry(&past.provider) {
                Some(entry) => {
                    let capabilities = entry.provider.capabilities();
                    means.look_up |= capabilities.lookup;
                    means.repeat |= capabilities.idempotent;
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
        for past in delivery.doubts() {
            let Some(entry) = self.registry.entry(&past.provider) else { continue };
            let may_be = entry.live().health.may_be_asked(Instant::now());
            if !may_be || !entry.provider.capabilities().lookup {
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
                }
                Err(_) => tracing::debug!(provider = %past.provider, "a look-up took too long"),
            }
        }
        None
    }

    /// The right to put the same request once more to a provider in doubt that knows it by its
    /// key; none where there is no such provider, or it can't be asked now.
    fn same_request(&self, delivery: &Delivery) -> Option<Choice> {
        let now = Instant::now();
        let snapshot = self.registry.snapshot();
        let run = Run {
            delivery: delivery.clone(),
            tried: Vec::new(),
            unsupported: Vec::new(),
            paused: Vec::new(),
            again: true,
        };
        // Once a recipient has left it, the same request can't be made any more.
        let changed = delivery.history.iter().rev().find(|past| past.end == PastEnd::Recipients);
        let changed = changed.map_or(0, |past| past.number);
        let same = delivery.doubts().filter(|past| past.number > changed);
        let in_doubt: BTreeSet<_> = same.map(|past| &past.provider).collect();
        let healthy = snapshot.tiers.iter().flat_map(|tier| &tier.entries);
        healthy.filter(|entry| in_doubt.contains(&entry.id)).find_map(|entry| {
            let takes_keys = entry.provider.capabilities().idempotent;
            if !takes_keys || self.denial(&run, entry, now).is_some() {
                return None;
            }
            let permit = self.registry.permit(entry, delivery, false, now)?;
            self.count_try(&run, entry, now);
            let why = "the same request again, by its idempotency key: it is in doubt there";
            let reason = self.explain(&run, &snapshot, entry, why, now);
            Some(Choice { permit, reason })
        })
    }

    /// Puts the same request again. An acceptance settles the doubt; whatever else comes of it
    /// says nothing of the earlier attempt.
    async fn repeat(
        &self,
        delivery: &Delivery,
        mut choice: Choice,
        until: SystemTime,
        log: &dyn AttemptLog,
    ) -> Result<Verdict, LogError> {
        let repeated =
            Attempt { possible_duplicate: false, ..attempt(delivery, &choice, self.clock.now()) };
        log.begin(&repeated).await?;
        let outcome = offer(&choice.permit, &delivery.email, &repeated).await;
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
                    end,
                    possible_duplicate: false,
                    ended_at: now,
                });
                self.ask_next(&after, until, now)
            }
        };
        log.end(&repeated, &outcome, &transition).await?;
        Ok(verdict(repeated, outcome, transition))
    }
}

/// The earlier attempt as far as a look-up needs it; of its times only its end is known.
fn asked_about(delivery: &Delivery, past: &PastAttempt) -> Attempt {
    Attempt {
        id: past.id,
        number: past.number,
        provider: past.provider.clone(),
        delivery: delivery.id,
        message: delivery.message(),
        session: None,
        epoch: delivery.epoch,
        reason: String::new(),
        on_doubt: delivery.on_doubt,
        possible_duplicate: past.possible_duplicate,
        started_at: past.ended_at,
        timeout: LOOK_UP,
    }
}
