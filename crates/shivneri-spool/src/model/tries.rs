//! Attempts as they are kept, and the history they make.

use std::{borrow::Cow, time::SystemTime};

use shivneri_core::{
    Answer, Attempt, AttemptId, Doubt, Failure, Outcome, PastAttempt, SendError, delivery::PastEnd,
};
use uuid::Uuid;

use super::Part;
use crate::AttemptRecord;

/// An attempt, and its end once it has one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Try {
    pub(crate) attempt: Attempt,
    pub(crate) end: Option<End>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) at: SystemTime,
    /// The outcome's word.
    pub(crate) word: Cow<'static, str>,
    /// What later decisions remember; none for an acceptance.
    pub(crate) past: Option<PastEnd>,
    pub(crate) detail: Option<String>,
    pub(crate) answer: Option<Answer>,
    pub(crate) provider_message_id: Option<String>,
}

impl End {
    pub(crate) fn of(outcome: &Outcome, at: SystemTime) -> Self {
        let (detail, answer, provider_message_id) = match outcome {
            Outcome::Accepted(receipt) => {
                let id = Some(&receipt.provider_message_id).filter(|id| !id.is_empty());
                (None, None, id.cloned())
            }
            Outcome::Failed(error) => {
                (Some(error.detail().to_owned()), error.answer().cloned(), None)
            }
        };
        let word = Cow::Borrowed(outcome.word());
        Self { at, word, past: outcome.past_end(), detail, answer, provider_message_id }
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        matches!(self.past, Some(PastEnd::InDoubt(_)))
    }

    /// Whether this end of the attempt is a second acceptance, where another delivery's attempt may
    /// have been the first.
    pub(crate) fn doubles(&self, attempt: &Attempt) -> bool {
        self.past.is_none() && attempt.possible_duplicate
    }

    /// Whether this end of an attempt that was open while evidence settled the doubt before it is one
    /// more acceptance. The evidence may have been about no attempt of this delivery: an event, or
    /// the attempt of the delivery that it has split off from.
    pub(crate) fn is_taken_again<'a>(
        &self,
        attempt: &Attempt,
        tries: impl IntoIterator<Item = &'a Try>,
    ) -> bool {
        let others = tries.into_iter().filter(|one| one.attempt.id != attempt.id);
        let others: Vec<&Try> = others.collect();
        let accepted = |one: &&Try| one.end.as_ref().is_some_and(|end| end.past.is_none());
        if others.iter().any(accepted) {
            return self.is_double_of(attempt, others);
        }
        self.doubles(attempt) && !attempt.repetition
    }

    /// Whether by this end of the attempt the delivery is known to have been taken once more. The
    /// same request made again is the same mail; of two requests the later one is marked, unless
    /// evidence has shown since that it was the only one.
    pub(crate) fn is_double_of<'a>(
        &self,
        attempt: &Attempt,
        tries: impl IntoIterator<Item = &'a Try>,
    ) -> bool {
        let accepted = |one: &&Try| one.end.as_ref().is_some_and(|end| end.past.is_none());
        let others = tries.into_iter().filter(|one| one.attempt.id != attempt.id);
        let taken: Vec<&Attempt> = others.filter(accepted).map(|one| &one.attempt).collect();
        if self.past.is_some() || taken.iter().any(|one| one.is_same_request(attempt)) {
            return false;
        }
        taken.iter().any(|one| {
            let later = if one.request > attempt.request { one } else { attempt };
            later.possible_duplicate
        })
    }
}

impl Try {
    /// Open, or in doubt.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.end.as_ref().is_none_or(End::is_in_doubt)
    }

    pub(crate) fn record(&self) -> AttemptRecord {
        let attempt = &self.attempt;
        let end = self.end.as_ref();
        AttemptRecord {
            id: attempt.id,
            delivery: attempt.delivery,
            number: attempt.number,
            provider: attempt.provider.clone(),
            agent: attempt.session.as_ref().map(|session| session.agent.clone()),
            reason: attempt.reason.clone(),
            possible_duplicate: attempt.possible_duplicate,
            started_at: attempt.started_at,
            ended_at: end.map(|end| end.at),
            outcome: end.map(|end| end.word.to_string()),
            detail: end.and_then(|end| end.detail.clone()),
            provider_message_id: end.and_then(|end| end.provider_message_id.clone()),
            answer: end.and_then(|end| end.answer.clone()),
        }
    }
}

impl Part {
    /// The part as it was before this attempt, which is open or in doubt.
    pub(crate) fn before(&self, one: &Try) -> Self {
        let counted = u32::from(one.end.is_some());
        if one.attempt.number > self.forgiven {
            Self { doubts: self.doubts.saturating_sub(counted), ..self.clone() }
        } else {
            Self { overruled: self.overruled.saturating_sub(counted), ..self.clone() }
        }
    }
}

/// The other attempts in doubt that made the same request: its answer is the answer to them as well.
pub(crate) fn same_in_doubt<'a>(
    attempt: &'a Attempt,
    tries: impl IntoIterator<Item = &'a Try>,
) -> impl Iterator<Item = &'a Try> {
    tries.into_iter().filter(|one| {
        one.attempt.id != attempt.id
            && one.attempt.is_same_request(attempt)
            && one.end.as_ref().is_some_and(End::is_in_doubt)
    })
}

/// What is known of an attempt that was open when its server stopped.
pub(crate) fn interrupted() -> Outcome {
    let failure = Failure::InDoubt(Doubt::Strong);
    Outcome::Failed(SendError::new(failure, "the server stopped before its end was known"))
}

/// What was tried for this part, from its own attempts, oldest first.
pub(crate) fn history<'a>(
    part: &Part,
    tries: impl IntoIterator<Item = &'a Try>,
) -> Vec<PastAttempt> {
    let mut past = Vec::new();
    let mut doubts = 0;
    for one in tries {
        let Some(end) = &one.end else { continue };
        let remembered = match end.past {
            _ if one.attempt.number <= part.forgiven => PastEnd::Uncounted,
            Some(past) => past,
            // Accepted, and still to be sent: these are the recipients that it did not take.
            None => PastEnd::Recipients,
        };
        doubts += u32::from(matches!(remembered, PastEnd::InDoubt(_)));
        past.push(PastAttempt {
            id: one.attempt.id,
            number: one.attempt.number,
            provider: one.attempt.provider.clone(),
            request: one.attempt.request,
            end: remembered,
            possible_duplicate: one.attempt.possible_duplicate,
            repetition: one.attempt.repetition,
            key_until: one.attempt.key_until,
            ended_at: end.at,
        });
    }
    past.sort_by_key(|past| past.number);
    // A part that split off while an attempt was in doubt has inherited the doubt, not the attempt.
    if let (true, Some(provider)) = (part.doubts > doubts, &part.provider) {
        let inherited = PastAttempt {
            id: AttemptId::from_uuid(Uuid::nil()),
            number: 0,
            provider: provider.clone(),
            request: 0,
            end: PastEnd::InDoubt(Doubt::Strong),
            possible_duplicate: false,
            repetition: false,
            // Its key was the whole part's: with fewer recipients the request is another one.
            key_until: None,
            ended_at: part.changed_at,
        };
        past.insert(0, inherited);
    }
    past
}
