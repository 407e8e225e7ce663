//! Agents' sessions, as a transport reports them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{AgentView, Entry, Registry, UnknownProvider, entry::Seat};
use crate::{
    AgentId, AgentSession, ProviderId,
    health::{Health, HealthEvent, Presence},
};

impl Registry {
    /// An agent connected, or connected anew: a higher generation supersedes the one before.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where its provider was not added.
    pub fn session_opened(
        &self,
        provider: &ProviderId,
        session: AgentSession,
        window: u32,
    ) -> Result<(), UnknownProvider> {
        let entry = self.known(provider)?;
        let (agent, generation) = (session.agent.clone(), session.generation);
        {
            let mut live = entry.live();
            let older = |seat: &Seat| seat.session.generation < generation;
            if live.seats.get(&agent).is_none_or(older) {
                live.seats.insert(agent.clone(), Seat { session, window, in_flight: 0 });
            }
        }
        self.step_entry(&entry, HealthEvent::SessionOpened(&agent, generation), Instant::now());
        self.place_freed();
        Ok(())
    }

    /// An agent beat.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where its provider was not added.
    pub fn beat(
        &self,
        provider: &ProviderId,
        agent: &AgentId,
        generation: u64,
    ) -> Result<(), UnknownProvider> {
        self.step(provider, HealthEvent::Beat(agent, generation))
    }

    /// An agent's connection closed: no new mail from now on.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where its provider was not added.
    pub fn session_closed(
        &self,
        provider: &ProviderId,
        agent: &AgentId,
        generation: u64,
    ) -> Result<(), UnknownProvider> {
        self.step(provider, HealthEvent::SessionClosed(agent, generation))
    }

    /// An agent finishes what it has and takes nothing new.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where its provider was not added.
    pub fn agent_draining(
        &self,
        provider: &ProviderId,
        agent: &AgentId,
        generation: u64,
    ) -> Result<(), UnknownProvider> {
        self.step(provider, HealthEvent::AgentDraining(agent, generation))
    }

    /// An agent takes mail again, with this window.
    ///
    /// # Errors
    ///
    /// [`UnknownProvider`] where its provider was not added.
    pub fn agent_ready(
        &self,
        provider: &ProviderId,
        agent: &AgentId,
        generation: u64,
        window: u32,
    ) -> Result<(), UnknownProvider> {
        let entry = self.known(provider)?;
        if let Some(seat) = entry.live().seats.get_mut(agent)
            && seat.session.generation == generation
        {
            seat.window = window;
        }
        self.step_entry(&entry, HealthEvent::AgentReady(agent, generation), Instant::now());
        self.place_freed();
        Ok(())
    }

    fn known(&self, provider: &ProviderId) -> Result<Arc<Entry>, UnknownProvider> {
        self.entry(provider).ok_or_else(|| UnknownProvider(provider.clone()))
    }
}

pub(super) fn view(seat: &Seat, health: &Health, now: Instant) -> AgentView {
    let session = &seat.session;
    AgentView {
        id: session.agent.clone(),
        generation: session.generation,
        journal: session.journal,
        session: match health.agent_presence(&session.agent, session.generation) {
            Some(Presence::Live) => "live",
            Some(Presence::Suspect) => "suspect",
            Some(Presence::Lost) => "lost",
            None => "draining",
        },
        last_beat: health.last_beat(&session.agent).map(|at| now.saturating_duration_since(at)),
        window: seat.window,
        in_flight: seat.in_flight,
    }
}
