//! What can be read off a provider's health.

use tokio::time::Instant;

use super::{Admin, Circuit, Health, Latency, Presence, QUIET, Sessions, Standing, Status};
use crate::{AgentId, Fault};

impl Health {
    /// The first region that is out of order.
    pub fn status(&self, now: Instant) -> Status {
        let presence = self.sessions.presence();
        match (&self.admin, &self.circuit) {
            (Admin::Disabled, _) => Status::Disabled,
            (Admin::Draining, _) => Status::Draining,
            (Admin::Enabled, _) if self.faults.account.is_some() => Status::Misconfigured,
            (Admin::Enabled, _) if presence == Presence::Lost => Status::Offline,
            (Admin::Enabled, Circuit::Open { .. }) => Status::Open,
            (Admin::Enabled, Circuit::HalfOpen(_)) => Status::Probing,
            (Admin::Enabled, _) if self.throttled.is_some_and(|until| until > now) => {
                Status::Throttled
            }
            (Admin::Enabled, _) if self.flights.is_stalled() => Status::Stalled,
            (Admin::Enabled, _) if presence == Presence::Suspect => Status::Suspect,
            (Admin::Enabled, Circuit::Ramp { .. }) => Status::Recovering,
            (Admin::Enabled, Circuit::Closed) => Status::Active,
        }
    }

    /// Whether new mail may go there.
    pub fn standing(&self, now: Instant) -> Standing {
        let shut = self.admin != Admin::Enabled
            || self.faults.account.is_some()
            || self.sessions.presence() != Presence::Live
            || self.throttled.is_some_and(|until| until > now);
        match &self.circuit {
            _ if shut => Standing::Shut,
            Circuit::Open { .. } => Standing::Shut,
            Circuit::HalfOpen(probation) => Standing::Probation {
                free: probation.permit.is_none(),
                impatient: now.duration_since(probation.since) >= QUIET,
            },
            Circuit::Closed | Circuit::Ramp { .. } if self.flights.is_stalled() => {
                Standing::LastResort
            }
            Circuit::Closed | Circuit::Ramp { .. } => {
                Standing::Open { share: self.circuit.share(now) }
            }
        }
    }

    /// Whether it may be asked what became of mail it perhaps has: not while an operator has
    /// switched it off, its account has a fault, or it wants to be left alone.
    pub fn may_be_asked(&self, now: Instant) -> bool {
        self.admin != Admin::Disabled
            && self.faults.account.is_none()
            && self.throttled.is_none_or(|until| until <= now)
    }

    /// Why it has the status it has, for people.
    pub fn reason(&self, now: Instant) -> String {
        let rest = |until: Instant| until.saturating_duration_since(now).as_secs_f64().ceil();
        match self.status(now) {
            Status::Disabled => "switched off by an operator".into(),
            Status::Draining => format!("{} still in flight", self.flights.in_flight()),
            Status::Misconfigured => {
                self.faults.account.as_ref().map_or_else(String::new, |fault| {
                    format!(
                        "{}: {}; checked again in {} s",
                        fault.fault.as_str(),
                        fault.detail,
                        rest(fault.next_check)
                    )
                })
            }
            Status::Offline => "no agent is connected".into(),
            Status::Open => match &self.circuit {
                Circuit::Open { until, reason, .. } => {
                    format!("{reason}; tried again in {} s", rest(*until))
                }
                Circuit::Closed | Circuit::HalfOpen(_) | Circuit::Ramp { .. } => String::new(),
            },
            Status::Probing => "one mail at a time until two succeed".into(),
            Status::Throttled => {
                let rest = self.throttled.map_or(0.0, rest);
                format!("the provider asked for a pause; {rest} s left")
            }
            Status::Stalled => format!("{} in flight and no answer", self.flights.in_flight()),
            Status::Suspect => "its agents are silent".into(),
            Status::Recovering => {
                format!("at {:.0} % of its share", self.circuit.share(now) * 100.0)
            }
            Status::Active => String::new(),
        }
    }

    /// When the present status began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What an operator wants of it.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// Until when the provider asked to be left alone.
    pub fn throttled_until(&self) -> Option<Instant> {
        self.throttled
    }

    /// The account's fault and its detail.
    pub fn fault(&self) -> Option<(Fault, &str)> {
        self.faults.account.as_ref().map(|known| (known.fault, known.detail.as_str()))
    }

    /// Until when an open circuit stays open.
    pub fn open_until(&self) -> Option<Instant> {
        match &self.circuit {
            Circuit::Open { until, .. } => Some(*until),
            Circuit::Closed | Circuit::HalfOpen(_) | Circuit::Ramp { .. } => None,
        }
    }

    /// Why mail of this sender domain can't go there now.
    pub fn refuses_sender(&self, domain: &str, now: Instant) -> Option<&str> {
        self.faults.refuses(domain, now)
    }

    /// How fast it answers.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// How many attempts are out.
    pub fn in_flight(&self) -> usize {
        self.flights.in_flight()
    }

    /// How present this agent's session is; `None` where it is draining or not this generation.
    pub fn agent_presence(&self, agent: &AgentId, generation: u64) -> Option<Presence> {
        match &self.sessions {
            Sessions::Local => None,
            Sessions::Agents(agents) => agents
                .get(agent)
                .filter(|s| s.generation == generation && !s.draining)
                .map(|s| s.presence),
        }
    }

    /// When this agent last beat.
    pub fn last_beat(&self, agent: &AgentId) -> Option<Instant> {
        match &self.sessions {
            Sessions::Local => None,
            Sessions::Agents(agents) => agents.get(agent).map(|session| session.last_beat),
        }
    }

    /// How often in a row this agent could not reach the service.
    pub fn link_failures(&self, agent: &AgentId) -> u32 {
        match &self.sessions {
            Sessions::Local => 0,
            Sessions::Agents(agents) => {
                agents.get(agent).map_or(0, |session| session.link_failures)
            }
        }
    }
}
