//! A provider's health: a pure machine of independent regions.
//!
//! ```text
//! admin    enabled, draining, disabled            what an operator wants
//! session  live, suspect, lost (for each agent)   whether somebody is there
//! circuit  closed, open, half-open, ramp          what recent outcomes say
//! gate     clear, throttled                       the pause the provider asked for
//! stall    flowing, stalled                       takes all, answers nothing
//! config   ok, faulted                            the account itself
//! ```
//!
//! [`Health::step`] takes an event and the time; no clock, lock or log is inside. The
//! [`Status`] that people see is the first region that is out of order.

mod circuit;
mod config;
mod event;
mod latency;
mod policy;
#[cfg(test)]
mod properties;
mod reading;
mod session;
mod stall;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

pub use event::{Effects, HealthEvent, Signal};
pub use latency::Latency;
pub use policy::HealthPolicy;
pub use session::Presence;
pub use status::{Admin, Standing, Status};

use self::{
    circuit::{Circuit, QUIET, Tally},
    config::{Faulted, Faults},
    session::Sessions,
    stall::Flights,
};
use crate::{AgentId, AgentSession, Failure, Fault, MessageId, SendError};

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// The health of one provider account.
#[derive(Clone, Debug)]
pub struct Health {
    admin: Admin,
    sessions: Sessions,
    circuit: Circuit,
    tally: Tally,
    throttled: Option<Instant>,
    throttles: u32,
    flights: Flights,
    faults: Faults,
    latency: Latency,
    probing: bool,
    shown: Status,
    since: Instant,
}

impl Health {
    /// A provider in this process, healthy until shown otherwise.
    pub fn local(now: Instant) -> Self {
        Self::with(Sessions::Local, Status::Active, now)
    }

    /// A provider behind agents, offline until one connects.
    pub fn remote(now: Instant) -> Self {
        Self::with(Sessions::Agents(Default::default()), Status::Offline, now)
    }

    fn with(sessions: Sessions, shown: Status, now: Instant) -> Self {
        Self {
            admin: Admin::default(),
            sessions,
            circuit: Circuit::Closed,
            tally: Tally::default(),
            throttled: None,
            throttles: 0,
            flights: Flights::default(),
            faults: Faults::default(),
            latency: Latency::default(),
            probing: false,
            shown,
            since: now,
        }
    }

    /// Takes up what was known before a restart: a pause that was asked for, an account's fault.
    pub fn restore(
        &mut self,
        throttled: Option<Instant>,
        fault: Option<(Fault, &str)>,
        now: Instant,
    ) {
        self.throttled = throttled.filter(|until| *until > now);
        self.faults.account = fault.map(|(fault, detail)| Faulted::new(fault, detail, now));
    }

    /// Takes in one event.
    ///
    /// `draw` is uniform over `u64`.
    pub fn step(
        &mut self,
        event: HealthEvent<'_>,
        now: Instant,
        draw: u64,
        policy: &HealthPolicy,
    ) -> Effects {
        match event {
            HealthEvent::Tick { late, window } => {
                if late > policy.pause_guard {
                    self.sessions.shift(late, now, policy);
                    self.flights.shift(late, now);
                }
                self.sessions.tick(now, policy);
                self.flights.tick(&self.latency, window, now, policy);
            }
            HealthEvent::Admin(admin) => {
                self.admin = admin;
                if admin == Admin::Enabled {
                    self.sessions.forget_closed();
                }
            }
            HealthEvent::SessionOpened(agent, generation) => {
                self.opened(agent, generation, now, policy)
            }
            HealthEvent::Beat(agent, generation) => self.beat(agent, generation, now, policy),
            HealthEvent::SessionClosed(agent, generation) => {
                if let Some(session) = self.sessions.current(agent, generation) {
                    session.presence = Presence::Lost;
                    session.closed = true;
                }
            }
            HealthEvent::AgentDraining(agent, generation) => {
                if let Some(session) = self.sessions.current(agent, generation) {
                    session.draining = true;
                }
            }
            HealthEvent::AgentReady(agent, generation) => {
                if let Some(session) = self.sessions.current(agent, generation) {
                    session.draining = false;
                }
            }
            HealthEvent::Started { ticket, on_probation, timeout } => {
                self.flights.started(ticket, now);
                if on_probation {
                    self.circuit.take_permit(ticket, timeout, now);
                }
            }
            HealthEvent::Ended { ticket, session, message, signal } => {
                let signal = self.seen_from(session, signal);
                self.ended(ticket, session, message, &signal, now, draw, policy);
            }
            HealthEvent::ProbeBegun => {
                self.probing = true;
                self.circuit.probe_begun(now);
                if let Some(fault) = &mut self.faults.account {
                    fault.checked(now);
                }
            }
            HealthEvent::Probed(result) => self.probed(result, now, policy),
            HealthEvent::LookUpFailed(signal) => self.told(signal, now),
            HealthEvent::ConfigChanged => {
                if let Some(fault) = &mut self.faults.account {
                    fault.next_check = now;
                }
            }
            HealthEvent::Pull(latest) => self.circuit.pull(latest),
        }
        self.circuit.tick(now, draw, policy);
        self.throttled = self.throttled.filter(|until| *until > now);
        self.effects(now)
    }

    fn opened(&mut self, agent: &AgentId, generation: u64, now: Instant, policy: &HealthPolicy) {
        let was_known = match &self.sessions {
            Sessions::Local => false,
            Sessions::Agents(agents) => !agents.is_empty(),
        };
        let was_away = self.sessions.presence() == Presence::Lost;
        if self.sessions.opened(agent, generation, now) && was_known && was_away {
            self.circuit.session_ramp(now, policy);
        }
    }

    fn beat(&mut self, agent: &AgentId, generation: u64, now: Instant, policy: &HealthPolicy) {
        let was_away = self.sessions.presence() == Presence::Lost;
        let current = self.sessions.current(agent, generation).filter(|session| !session.closed);
        let Some(session) = current else { return };
        session.last_beat = now;
        session.presence = Presence::Live;
        if was_away && self.sessions.presence() == Presence::Live {
            self.circuit.session_ramp(now, policy);
        }
    }

    /// An outcome from an older generation says nothing about the present, and a broken way from
    /// one agent nothing about the account while another agent's is whole.
    fn seen_from(&mut self, session: Option<&AgentSession>, signal: &Signal) -> Signal {
        let Some(offered) = session else { return signal.clone() };
        let Some(current) = self.sessions.current(&offered.agent, offered.generation) else {
            return Signal::Abandoned;
        };
        if matches!(signal, Signal::Link(_)) {
            current.link_failures = current.link_failures.saturating_add(1);
            if !self.sessions.all_fail_to_connect() {
                return Signal::Neutral;
            }
        } else if *signal != Signal::Abandoned {
            current.link_failures = 0;
        }
        signal.clone()
    }

    #[allow(clippy::too_many_arguments, reason = "one event with all that it brings")]
    fn ended(
        &mut self,
        ticket: u64,
        session: Option<&AgentSession>,
        message: MessageId,
        signal: &Signal,
        now: Instant,
        draw: u64,
        policy: &HealthPolicy,
    ) {
        let answered = match signal {
            Signal::Success { .. } | Signal::Neutral | Signal::Throttled(_) | Signal::Fault(..) => {
                true
            }
            Signal::Failure { answered, .. } => *answered,
            Signal::Link(_) | Signal::Abandoned => false,
        };
        let on_probation = self.circuit.return_permit(ticket);
        // A lost agent ends what was in flight; that silence was not the provider's.
        let silent_to_the_end = self.flights.ended(ticket, answered, now)
            && (session.is_none() || *signal != Signal::Abandoned);
        match signal {
            Signal::Success { latency, domain } => {
                self.latency.record(*latency, now);
                self.faults.sender_proven(domain);
                self.throttles = 0;
                self.circuit.success(&mut self.tally, on_probation, now, policy);
            }
            Signal::Failure { detail, .. } | Signal::Link(detail) => {
                self.circuit.failure(
                    &mut self.tally,
                    on_probation,
                    message,
                    detail,
                    now,
                    draw,
                    policy,
                );
            }
            Signal::Throttled(_) | Signal::Fault(..) => self.told(signal, now),
            Signal::Neutral | Signal::Abandoned => {}
        }
        if silent_to_the_end && !matches!(self.circuit, Circuit::Open { .. }) {
            self.circuit.open("nothing in flight was ever answered".into(), now, draw, policy);
        }
    }

    /// Takes the account's own word that it wants to be left alone.
    fn told(&mut self, signal: &Signal, now: Instant) {
        match signal {
            Signal::Throttled(pause) => self.throttle(*pause, now),
            Signal::Fault(Fault::Sender, detail, domain) => self.faults.sender(domain, detail, now),
            Signal::Fault(fault, detail, _) => {
                self.faults.account = Some(Faulted::new(*fault, detail, now));
            }
            Signal::Success { .. }
            | Signal::Failure { .. }
            | Signal::Link(_)
            | Signal::Neutral
            | Signal::Abandoned => {}
        }
    }

    /// Shuts the gate for as long as was asked; without a word, for 1 s, doubled each time in a
    /// row up to a minute.
    fn throttle(&mut self, pause: Option<Duration>, now: Instant) {
        let unasked = SHORTEST_PAUSE * 2_u32.saturating_pow(self.throttles.min(6));
        let pause = pause.unwrap_or(unasked.min(Duration::from_secs(60)));
        let until = now + pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.throttles = self.throttles.saturating_add(1);
        self.throttled = Some(self.throttled.map_or(until, |known| known.max(until)));
    }

    fn probed(&mut self, result: Result<(), &SendError>, now: Instant, policy: &HealthPolicy) {
        self.probing = false;
        let fault = result.err().and_then(|error| match error.failure() {
            Failure::AccountFault(fault) => Some((*fault, error.detail())),
            Failure::Throttled { .. }
            | Failure::Rejected(_)
            | Failure::Unsupported
            | Failure::Unavailable
            | Failure::InDoubt(_) => None,
        });
        match (&mut self.faults.account, fault) {
            (Some(known), Some((fault, detail))) => {
                known.fault = fault;
                detail.clone_into(&mut known.detail);
            }
            (none @ None, Some((fault, detail))) => *none = Some(Faulted::new(fault, detail, now)),
            (known @ Some(_), None) if result.is_ok() => {
                let proven = known.as_ref().is_some_and(|k| k.fault.is_proven_by_probe());
                *known = None;
                if !proven {
                    self.circuit.probation(now);
                }
            }
            (Some(_), None) => {}
            (None, None) => {
                if let Err(error) = result
                    && let Failure::Throttled { retry_after } = error.failure()
                {
                    self.throttle(*retry_after, now);
                } else {
                    self.circuit.probed(result.is_ok(), &mut self.tally, now, policy);
                }
            }
        }
    }

    fn effects(&mut self, now: Instant) -> Effects {
        let status = self.status(now);
        let changed = (status != self.shown).then_some((self.shown, status));
        if changed.is_some() {
            self.shown = status;
            self.since = now;
        }
        let due = match &self.faults.account {
            Some(fault) => now >= fault.next_check,
            None => self.circuit.wants_probe(now) && self.throttled.is_none(),
        };
        let there = self.sessions.presence() == Presence::Live;
        let probe = due && there && !self.probing && self.admin != Admin::Disabled;
        Effects { changed, probe }
    }
}
