//! Sessions: which agents serve an account, and which of them are silent.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::HealthPolicy;
use crate::AgentId;

/// Where a provider lives.
#[derive(Clone, Debug)]
pub(super) enum Sessions {
    /// In this process: always there.
    Local,
    /// At agents.
    Agents(BTreeMap<AgentId, Session>),
}

/// One agent's session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) generation: u64,
    pub(super) last_beat: Instant,
    pub(super) presence: Presence,
    pub(super) draining: bool,
    /// Its connection is known to be closed: only a new session can follow.
    pub(super) closed: bool,
    /// Connect, DNS or TLS failures in a row at this agent.
    pub(super) link_failures: u32,
}

/// How present an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Its connection closed, or it was silent for too long.
    Lost,
    /// It is silent.
    Suspect,
    /// It beats.
    Live,
}

impl Sessions {
    /// The best presence of any agent that is not draining; `Live` in this process.
    pub(super) fn presence(&self) -> Presence {
        match self {
            Self::Local => Presence::Live,
            Self::Agents(agents) => agents
                .values()
                .filter(|session| !session.draining)
                .map(|session| session.presence)
                .max()
                .unwrap_or(Presence::Lost),
        }
    }

    /// Opens a session. An older generation than the one known is ignored. Returns whether it
    /// counts.
    pub(super) fn opened(&mut self, agent: &AgentId, generation: u64, now: Instant) -> bool {
        let Self::Agents(agents) = self else { return false };
        if agents.get(agent).is_some_and(|known| known.generation >= generation) {
            return false;
        }
        let session = Session {
            generation,
            last_beat: now,
            presence: Presence::Live,
            draining: false,
            closed: false,
            link_failures: 0,
        };
        agents.insert(agent.clone(), session);
        true
    }

    /// The session of exactly this generation.
    pub(super) fn current(&mut self, agent: &AgentId, generation: u64) -> Option<&mut Session> {
        match self {
            Self::Local => None,
            Self::Agents(agents) => {
                agents.get_mut(agent).filter(|session| session.generation == generation)
            }
        }
    }

    /// Forgets the agents whose connection is closed. A silent one may beat again.
    pub(super) fn forget_closed(&mut self) {
        if let Self::Agents(agents) = self {
            agents.retain(|_, session| !session.closed);
        }
    }

    /// Marks the silent ones.
    pub(super) fn tick(&mut self, now: Instant, policy: &HealthPolicy) {
        let Self::Agents(agents) = self else { return };
        for session in agents.values_mut() {
            let silent = now.saturating_duration_since(session.last_beat);
            if session.presence != Presence::Lost {
                session.presence = if silent >= policy.lost {
                    Presence::Lost
                } else if silent >= policy.suspect {
                    Presence::Suspect
                } else {
                    Presence::Live
                };
            }
        }
    }

    /// Forgives a pause of our own. After a long one, whoever beat before it is listened for anew:
    /// everybody's machine is busy then with what has gathered.
    pub(super) fn shift(&mut self, late: Duration, now: Instant, policy: &HealthPolicy) {
        if let Self::Agents(agents) = self {
            for session in agents.values_mut() {
                session.last_beat = if late >= policy.lost && session.presence == Presence::Live {
                    now
                } else {
                    (session.last_beat + late).min(now)
                };
            }
        }
    }

    /// Whether every live agent fails to reach the service, so that it is the service's matter.
    pub(super) fn all_fail_to_connect(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Agents(agents) => agents
                .values()
                .filter(|session| session.presence == Presence::Live)
                .all(|session| session.link_failures > 0),
        }
    }
}
