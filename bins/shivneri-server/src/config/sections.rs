//! The configuration file's sections as they are written.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use shivneri_core::{AgentId, LaneName, OnDoubt, ProviderId, health::HealthPolicy};

use super::units::{duration, size};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) http: Http,
    pub(super) agents: Agents,
    pub(super) spool: Spool,
    pub(super) retention: Retention,
    pub(super) scheduler: Scheduler,
    pub(super) health: Health,
    pub(super) drain: Drain,
    pub(super) provider: Vec<Provider>,
    pub(super) agent: Vec<Agent>,
    pub(super) key: Vec<Key>,
    pub(super) lane: Vec<Lane>,
    pub(super) smtp: Option<Value>,
    pub(super) route: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Option<String>,
    #[serde(deserialize_with = "size")]
    pub(super) max_body: Option<u64>,
    pub(super) max_connections: Option<usize>,
    pub(super) tls: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Agents {
    pub(super) listen: Option<String>,
    pub(super) tls: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spool {
    pub(super) url: Option<String>,
    pub(super) max_messages: Option<u64>,
    #[serde(deserialize_with = "size")]
    pub(super) min_free_disk: Option<u64>,
    pub(super) require_sync_standby: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    #[serde(deserialize_with = "duration")]
    pub(super) body: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub(super) message: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scheduler {
    pub(super) policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drain {
    #[serde(deserialize_with = "duration")]
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Health {
    #[serde(deserialize_with = "duration")]
    beat: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    suspect: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    lost: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    ramp: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    session_ramp: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pause_guard: Option<Duration>,
    stall_min: Option<u32>,
    #[serde(deserialize_with = "duration")]
    stall_floor: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    stall_unknown: Option<Duration>,
    trip_consecutive: Option<u32>,
    trip_messages: Option<usize>,
    trip_ratio: Option<f64>,
    trip_samples: Option<u32>,
    #[serde(deserialize_with = "duration")]
    open: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    open_cap: Option<Duration>,
}

impl Health {
    pub(super) fn policy(&self) -> HealthPolicy {
        let default = HealthPolicy::default();
        HealthPolicy {
            beat: self.beat.unwrap_or(default.beat),
            suspect: self.suspect.unwrap_or(default.suspect),
            lost: self.lost.unwrap_or(default.lost),
            ramp: self.ramp.unwrap_or(default.ramp),
            session_ramp: self.session_ramp.unwrap_or(default.session_ramp),
            pause_guard: self.pause_guard.unwrap_or(default.pause_guard),
            stall_min: self.stall_min.unwrap_or(default.stall_min),
            stall_floor: self.stall_floor.unwrap_or(default.stall_floor),
            stall_unknown: self.stall_unknown.unwrap_or(default.stall_unknown),
            trip_consecutive: self.trip_consecutive.unwrap_or(default.trip_consecutive),
            trip_messages: self.trip_messages.unwrap_or(default.trip_messages),
            trip_ratio: self.trip_ratio.unwrap_or(default.trip_ratio),
            trip_samples: self.trip_samples.unwrap_or(default.trip_samples),
            open: self.open.unwrap_or(default.open),
            open_cap: self.open_cap.unwrap_or(default.open_cap),
        }
    }
}

/// What the server itself keeps of a provider; all other keys are the kind's own.
#[derive(Debug, Deserialize)]
pub(super) struct Provider {
    pub(super) id: ProviderId,
    pub(super) kind: String,
    pub(super) weight: Option<u32>,
    pub(super) tier: Option<u8>,
    pub(super) window: Option<u32>,
    pub(super) domains: Option<Vec<String>>,
    pub(super) hosted: Option<bool>,
    #[serde(flatten)]
    pub(super) own: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) provider: ProviderId,
    pub(super) token: Option<shivneri_providers::Secret>,
    pub(super) san: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) secret: shivneri_providers::Secret,
    pub(super) scopes: Vec<String>,
    pub(super) domains: Option<Value>,
    pub(super) rate: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lane {
    pub(super) name: LaneName,
    #[serde(default, deserialize_with = "duration")]
    pub(super) max_age: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub(super) doubt_wait: Option<Duration>,
    pub(super) on_doubt: Option<OnDoubt>,
    pub(super) reserve: Option<Value>,
}
