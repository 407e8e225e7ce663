//! Evidence about attempts that nobody waits for any more.

use async_trait::async_trait;
use shivneri_core::{
    AgentId, AttemptId, LateOutcomes, LogError, Outcome, ProviderId, Receipt, Transition,
    UnsettledAttempt,
    decision::{self, Step},
};

use super::Courier;
use crate::{Amended, AttemptRecord, Change, Evidence, MessageRecord, Sighting, SpoolError};

/// A provider's own word about mail that it took, as its delivery events bring it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighted {
    /// Whose word it is.
    pub provider: ProviderId,
    /// Its own id of the mail, where the event names it.
    pub provider_message_id: Option<String>,
    /// The message, its recipient, and what was seen.
    pub evidence: Evidence,
}

impl Courier {
    /// Takes a provider's word about mail after the fact. It settles an attempt at that provider
    /// that is in doubt, however late it comes; where another attempt was accepted meanwhile, the
    /// mail is known to be doubled. What was seen of the recipient moves it forward.
    ///
    /// An event names a message, and seldom the attempt: without the provider's own id the oldest
    /// attempt in doubt is settled by it.
    ///
    /// # Errors
    ///
    /// [`SpoolError`] where it was not committed; the same word may be given again.
    pub async fn sighted(&self, sighted: &Sighted) -> Result<Change, SpoolError> {
        let Some(record) = self.spool.get(sighted.evidence.message).await? else {
            return Ok(Change::NotFound);
        };
        let settles = in_doubt(&record, sighted).map(|attempt| attempt.id);
        let mut settled = false;
        if let Some(attempt) = settles {
            let id = sighted.provider_message_id.clone().unwrap_or_default();
            let outcome = Outcome::Accepted(Receipt::new(id));
            let amended = self.spool.amend(attempt, &outcome, &Transition::Accepted).await?;
            settled = amended != Amended::Unchanged;
            let (message, provider) = (sighted.evidence.message, &sighted.provider);
            tracing::info!(%message, %attempt, %provider, "an event settled an attempt");
        }
        // That it was accepted is all that such a word says.
        if settled && sighted.evidence.sighting == Sighting::Accepted {
            return Ok(Change::Done);
        }
        self.spool.observe(&sighted.evidence).await
    }
}

/// The attempt that the event settles: at that provider, for that recipient, and not known to be
/// another one.
fn in_doubt<'a>(record: &'a MessageRecord, sighted: &Sighted) -> Option<&'a AttemptRecord> {
    let here = || record.attempts.iter().filter(|one| one.provider == sighted.provider);
    let is_known = |one: &AttemptRecord| {
        sighted.provider_message_id.is_some()
            && one.provider_message_id == sighted.provider_message_id
    };
    if here().any(is_known) {
        return None;
    }
    let concerns = |one: &&AttemptRecord| match &sighted.evidence.recipient {
        None => true,
        Some(address) => record.recipients.iter().any(|recipient| {
            recipient.delivery == one.delivery && address.as_str() == recipient.address
        }),
    };
    here().filter(concerns).find(|one| one.outcome.as_deref() == Some("in_doubt"))
}

#[async_trait]
impl LateOutcomes for Courier {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        let Some(found) = self.spool.attempt(attempt).await? else {
            // Nothing can be decided on a damaged record, but its attempt has its end by it.
            let transition = match outcome {
                Outcome::Accepted(_) => Transition::Accepted,
                Outcome::Failed(error) => Transition::InDoubt { reason: error.detail().to_owned() },
            };
            self.spool.amend(attempt, outcome, &transition).await?;
            return Ok(());
        };
        let now = self.policy.clock.now();
        let provider = &found.attempt.provider;
        let alternatives = self.dispatcher.registry().len() > 1;
        let step = decision::step(&found.delivery, outcome, provider, now, alternatives, false);
        let transition = match step {
            Step::Done(transition) => transition,
            // The time it waited meanwhile counts: it is due now, or after the pause asked for.
            Step::Failover { pause } => Transition::Retry {
                at: now + pause.unwrap_or_default(),
                reason: format!("{}, as was learned late", outcome.word()),
            },
        };
        match self.spool.amend(attempt, outcome, &transition).await? {
            Amended::Moved | Amended::Closed => {
                let (message, outcome) = (found.attempt.message, outcome.word());
                tracing::info!(%message, %attempt, outcome, "late evidence settled an attempt");
            }
            Amended::Unchanged => {}
        }
        Ok(())
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        Ok(self.spool.unsettled(agent).await?)
    }
}
