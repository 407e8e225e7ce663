//! A delivery: a message with a set of its recipients, and what was tried for it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{AttemptId, DeliveryId, Doubt, Email, Lane, MessageId, OnDoubt, ProviderId};

/// What is carried to a provider: an email for its envelope's recipients.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The email, its envelope narrowed to this delivery's recipients.
    pub email: Arc<Email>,
    /// The lane's rules.
    pub lane: Arc<Lane>,
    /// What to do when in doubt: the message's word, the route's or the lane's.
    pub on_doubt: OnDoubt,
    /// When it expires.
    pub deadline: SystemTime,
    /// The providers it may take; absent: all.
    pub route: Option<Arc<[ProviderId]>>,
    /// The owner's epoch.
    pub epoch: u64,
    /// What was tried before, oldest first.
    pub history: Vec<PastAttempt>,
    /// Set while evidence about an attempt in doubt is asked for.
    pub awaiting: Option<Awaiting>,
    /// Whether a person had it sent again in spite of an attempt in doubt that nothing has settled
    /// since. Such a doubt keeps nothing waiting, but is not hidden by a later end either.
    pub overruled: bool,
}

/// Evidence about an attempt in doubt is still awaited, and somebody may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaiting {
    /// When it is asked for.
    pub ask: SystemTime,
    /// When the wait is over.
    pub until: SystemTime,
}

impl Delivery {
    /// A delivery outside any queue, in the `transactional` lane, from now on.
    pub fn new(email: Email, now: SystemTime) -> Self {
        let lane = Lane::transactional();
        Self {
            id: DeliveryId::from_uuid(*email.id().as_uuid()),
            email: Arc::new(email),
            on_doubt: lane.on_doubt,
            deadline: now + lane.max_age,
            lane: Arc::new(lane),
            route: None,
            epoch: 0,
            history: Vec::new(),
            awaiting: None,
            overruled: false,
        }
    }

    /// The message it belongs to.
    pub fn message(&self) -> MessageId {
        self.email.id()
    }

    /// The number the next attempt gets.
    pub fn next_number(&self) -> u32 {
        self.history.last().map_or(1, |last| last.number + 1)
    }

    /// Whether some attempt was perhaps sent and nothing has settled it.
    pub fn is_in_doubt(&self) -> bool {
        self.history.iter().any(|past| past.doubt().is_some())
    }

    /// Whether it was perhaps sent: an attempt is in doubt, a person's word on it or not.
    pub fn was_perhaps_sent(&self) -> bool {
        self.overruled || self.is_in_doubt()
    }

    /// How many attempts of those that count have failed.
    pub fn failures(&self) -> u32 {
        self.history.iter().filter(|past| past.counts()).count() as u32
    }

    /// How many attempts that followed a strong doubt are themselves in doubt. One that was
    /// certainly not sent is no resend.
    pub fn resends_after_strong_doubt(&self) -> u32 {
        let strong = self.history.iter().position(|past| past.doubt() == Some(Doubt::Strong));
        strong.map_or(0, |at| {
            let after = self.history[at + 1..].iter();
            after.filter(|past| !past.repetition && past.doubt().is_some()).count() as u32
        })
    }

    /// The attempts in doubt, the latest first.
    pub fn doubts(&self) -> impl Iterator<Item = &PastAttempt> {
        self.history.iter().rev().filter(|past| past.doubt().is_some())
    }

    /// When the present doubt began, and how often the same request has been repeated since: such
    /// a repetition goes to a provider that knows it by its key, so it begins no doubt of its own.
    pub fn doubt_since(&self) -> Option<(SystemTime, u32)> {
        let first = self.history.iter().position(|past| past.doubt().is_some())?;
        let root = self
            .history
            .iter()
            .enumerate()
            .rev()
            .find(|(at, past)| past.doubt().is_some() && (!past.repetition || *at == first));
        root.map(|(at, past)| {
            let repeated = self.history[at + 1..].iter().filter(|past| past.repetition);
            (past.ended_at, repeated.count() as u32)
        })
    }

    /// The request that is in doubt at this provider, as the latest attempt there made it; none where
    /// it can't be made again, because a recipient has left the delivery since.
    pub fn request_in_doubt(&self, provider: &ProviderId) -> Option<&PastAttempt> {
        let latest = self.doubts().find(|past| past.provider == *provider)?;
        let is_later =
            |past: &&PastAttempt| past.number > latest.number || past.ended_at > latest.ended_at;
        let mut left = self.history.iter().filter(|past| past.end == PastEnd::Recipients);
        // One that split off has inherited the doubt and not the request.
        (!latest.is_inherited() && !left.any(|past| is_later(&past))).then_some(latest)
    }

    /// The provider of the latest attempt in doubt.
    pub fn doubtful_provider(&self) -> Option<&ProviderId> {
        self.doubts().next().map(|past| &past.provider)
    }

    /// How long evidence is awaited for an attempt in doubt.
    pub fn doubt_wait(&self) -> Duration {
        self.lane.doubt_wait
    }
}

/// An earlier attempt of a delivery, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastAttempt {
    /// Its id.
    pub id: AttemptId,
    /// Its number.
    pub number: u32,
    /// The account it went through.
    pub provider: ProviderId,
    /// The number of the attempt that first made its request there.
    pub request: u32,
    /// How it ended.
    pub end: PastEnd,
    /// Whether it went out while an earlier one was in doubt.
    pub possible_duplicate: bool,
    /// Whether it only made an earlier request again, to learn what became of it.
    pub repetition: bool,
    /// Until when its provider knows it by its key, if at all.
    pub key_until: Option<SystemTime>,
    /// When it ended.
    pub ended_at: SystemTime,
}

/// How an earlier attempt ended, as far as later decisions need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastEnd {
    /// Rejected without a documented reason.
    Unexplained,
    /// Some recipients were rejected, or the provider has put some off: the delivery goes on without
    /// those that have left it.
    Recipients,
    /// Certainly not sent, and counted.
    Unavailable,
    /// Certainly not sent, and not counted: not started, unsupported, throttled, account fault.
    Uncounted,
    /// Perhaps sent.
    InDoubt(Doubt),
}

impl PastAttempt {
    /// The doubt it left behind, if nothing has settled it.
    pub fn doubt(&self) -> Option<Doubt> {
        match self.end {
            PastEnd::InDoubt(doubt) => Some(doubt),
            PastEnd::Unexplained
            | PastEnd::Recipients
            | PastEnd::Unavailable
            | PastEnd::Uncounted => None,
        }
    }

    /// Whether it is no attempt of the delivery's own: the delivery has split off from one that was in
    /// doubt, and nobody can be asked about it by this delivery's requests.
    pub fn is_inherited(&self) -> bool {
        self.number == 0
    }

    /// Whether it counts for the retry schedule.
    pub fn counts(&self) -> bool {
        match self.end {
            PastEnd::Unexplained | PastEnd::Unavailable | PastEnd::InDoubt(_) => true,
            PastEnd::Recipients | PastEnd::Uncounted => false,
        }
    }
}
