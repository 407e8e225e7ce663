//! What people see of the registry.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

use crate::{
    AgentId, Capabilities, Fault, ProviderId,
    health::{Admin, Status},
};

/// A provider at one moment.
#[derive(Clone, Debug)]
pub struct ProviderView {
    /// Its id.
    pub id: ProviderId,
    /// The kind of service.
    pub kind: String,
    /// Its status.
    pub status: Status,
    /// Why it has that status; empty while active.
    pub reason: String,
    /// How long it has had that status.
    pub for_how_long: Duration,
    /// What an operator wants of it.
    pub admin: Admin,
    /// Its tier.
    pub tier: u8,
    /// Its weight.
    pub weight: u32,
    /// The share of the traffic it is meant to get now, from 0 to 1.
    pub share: f64,
    /// Attempts that may be out at once.
    pub window: u32,
    /// Attempts out.
    pub in_flight: u32,
    /// Acceptances a second, a moving mean over a few seconds.
    pub rate: f64,
    /// Half of its recent answers came within this time.
    pub p50: Option<Duration>,
    /// 95 % of its recent answers came within this time.
    pub p95: Option<Duration>,
    /// Outcomes since the start, by their words.
    pub counts: BTreeMap<&'static str, u64>,
    /// What it can carry.
    pub capabilities: Capabilities,
    /// How much longer it asked to be left alone.
    pub throttled_for: Option<Duration>,
    /// The account's fault.
    pub fault: Option<(Fault, String)>,
    /// Whether it is served by agents.
    pub remote: bool,
    /// Its agents' sessions.
    pub agents: Vec<AgentView>,
}

/// An agent's session at one moment.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// The agent.
    pub id: AgentId,
    /// Its generation.
    pub generation: u64,
    /// Its journal, which names the session's state directory.
    pub journal: Uuid,
    /// `live`, `suspect`, `lost` or `draining`.
    pub session: &'static str,
    /// How long ago it last beat.
    pub last_beat: Option<Duration>,
    /// Attempts it may have at once.
    pub window: u32,
    /// Attempts it has.
    pub in_flight: u32,
}
