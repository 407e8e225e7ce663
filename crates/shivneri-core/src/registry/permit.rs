//! The right to make one attempt at one provider.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Registry, entry::Entry};
use crate::{
    AgentSession, EmailProvider, MessageId, Outcome, ProviderId,
    health::{HealthEvent, Signal, Standing},
};

/// Counts as one in flight until it is dropped, so that a cancelled task can't leak a place or
/// the one permit of a probation.
#[derive(Debug)]
pub struct Permit {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
    session: Option<AgentSession>,
    ticket: u64,
    on_probation: bool,
    message: MessageId,
    domain: String,
    started: Instant,
    ended: bool,
    /// Failures of a message in quarantine say nothing about the provider.
    quarantined: bool,
}

impl Permit {
    #[allow(clippy::too_many_arguments, reason = "the one place where a permit is made")]
    pub(super) fn new(
        registry: Arc<Registry>,
        entry: Arc<Entry>,
        session: Option<AgentSession>,
        ticket: u64,
        on_probation: bool,
        message: MessageId,
        domain: &str,
        started: Instant,
    ) -> Self {
        let domain = domain.to_owned();
        Self {
            registry,
            entry,
            session,
            ticket,
            on_probation,
            message,
            domain,
            started,
            ended: false,
            quarantined: false,
        }
    }

    /// The provider it is for.
    pub fn provider(&self) -> &Arc<dyn EmailProvider> {
        &self.entry.provider
    }

    /// The provider's id.
    pub fn provider_id(&self) -> &ProviderId {
        &self.entry.id
    }

    /// The agent's session it is for.
    pub fn session(&self) -> Option<&AgentSession> {
        self.session.as_ref()
    }

    /// Whether the provider takes no more mail since the permit was given: it asked for a pause, its
    /// circuit opened, its agents fell silent.
    pub(crate) fn is_shut(&self, now: Instant) -> bool {
        matches!(self.entry.live().health.standing(now), Standing::Shut)
    }

    /// Whether it is the one permit of a probation.
    pub fn is_on_probation(&self) -> bool {
        self.on_probation
    }

    /// How long the attempt may take.
    pub fn timeout(&self) -> Duration {
        self.entry.settings.timeout
    }

    /// The message is suspected of poisoning whoever it is sent to: its failures are neutral.
    pub(crate) fn quarantine(&mut self) {
        self.quarantined = true;
    }

    /// Lets the outcome bear on the provider's health. The place stays taken until the drop.
    pub fn finish(&mut self, outcome: &Outcome) {
        let now = Instant::now();
        let latency = now.duration_since(self.started);
        let mut signal = Signal::of(outcome, &self.domain, latency);
        if self.quarantined && matches!(signal, Signal::Failure { .. }) {
            signal = Signal::Neutral;
        }
        self.entry.observe(&mut self.entry.live(), outcome, latency, now);
        self.end(&signal, now);
    }

    fn end(&mut self, signal: &Signal, now: Instant) {
        self.ended = true;
        let event = HealthEvent::Ended {
            ticket: self.ticket,
            session: self.session.as_ref(),
            message: self.message,
            signal,
        };
        self.registry.step_entry(&self.entry, event, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.ended {
            self.end(&Signal::Abandoned, Instant::now());
        }
        if let Some(session) = &self.session {
            Entry::unseat(&mut self.entry.live(), session);
        }
        self.entry.load.leave();
        self.registry.place_freed();
    }
}
