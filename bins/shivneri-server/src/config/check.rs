//! What the sections mean together.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use shivneri_core::{Lane, ProviderSettings};

use super::{
    AgentConfig, Config, ConfigError, KeyConfig, Origin, Overrides, Own, ProviderConfig,
    load::sqlite_path,
    sections::{self, File},
};

const SCOPES: [&str; 3] = ["send", "read", "admin"];
/// Keys of every kind that are no credentials: alone they make no hosted provider.
const COMMON: [&str; 3] = ["base_url", "timeout", "test_mode"];

pub(super) fn checked(file: File, flags: &Overrides, dev: bool) -> Result<Config, ConfigError> {
    refuse_what_is_not_built(&file)?;
    let http =
        address("--http", flags.http.as_deref(), "http.listen", file.http.listen.as_deref(), 8525)?;
    let agents = address(
        "--agents",
        flags.agents.as_deref(),
        "agents.listen",
        file.agents.listen.as_deref(),
        8526,
    )?;
    let spool = match (&file.spool.url, &flags.data) {
        // The flag is stronger than the file.
        (_, Some(data)) => data.join("spool.db"),
        (Some(url), None) => sqlite_path(url)?,
        (None, None) => PathBuf::from("shivneri-data/spool.db"),
    };
    let mut providers = providers(file.provider)?;
    if dev && providers.is_empty() {
        providers = sandboxes();
    }
    let health = file.health.policy();
    check_health(&health)?;
    let positive = |key: &str, value: u64| {
        if value == 0 { Err(ConfigError::new(key, "must be at least 1")) } else { Ok(value) }
    };
    let max_body = positive("http.max_body", file.http.max_body.unwrap_or(40 << 20))?;
    let max_connections =
        positive("http.max_connections", file.http.max_connections.unwrap_or(4096) as u64)?;
    Ok(Config {
        http,
        max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        agents,
        spool,
        max_messages: positive("spool.max_messages", file.spool.max_messages.unwrap_or(5_000_000))?,
        min_free_disk: file.spool.min_free_disk.unwrap_or(1 << 30),
        keep_bodies: file.retention.body.unwrap_or(days(3)),
        keep_messages: file.retention.message.unwrap_or(days(30)),
        scheduler: file.scheduler.policy.unwrap_or_else(|| "least-latency".to_owned()),
        health,
        drain: file.drain.timeout.unwrap_or(Duration::from_secs(30)),
        identities: identities(file.agent, &providers)?,
        keys: keys(file.key)?,
        lanes: lanes(file.lane)?,
        providers,
        dev,
        origin: Origin::default(),
    })
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

fn refuse_what_is_not_built(file: &File) -> Result<(), ConfigError> {
    let first = |values: &[(&str, bool)]| {
        values.iter().find(|(_, there)| *there).map(|(key, _)| (*key).to_owned())
    };
    let section = first(&[
        ("smtp", file.smtp.is_some()),
        ("route", file.route.is_some()),
        ("http.tls", file.http.tls.is_some()),
        ("agents.tls", file.agents.tls.is_some()),
        ("spool.require_sync_standby", file.spool.require_sync_standby.is_some()),
    ]);
    let of = |list: &str, index: usize, key: &str| format!("{list}[{index}].{key}");
    let agent =
        file.agent.iter().position(|agent| agent.san.is_some()).map(|i| of("agent", i, "san"));
    let key_domains =
        file.key.iter().position(|key| key.domains.is_some()).map(|i| of("key", i, "domains"));
    let key_rate = file.key.iter().position(|key| key.rate.is_some()).map(|i| of("key", i, "rate"));
    let reserve =
        file.lane.iter().position(|lane| lane.reserve.is_some()).map(|i| of("lane", i, "reserve"));
    match section.or(agent).or(key_domains).or(key_rate).or(reserve) {
        Some(key) => Err(ConfigError::new(key, "is not built yet; leave it out in this release")),
        None => Ok(()),
    }
}

fn address(
    flag: &str,
    flagged: Option<&str>,
    key: &str,
    configured: Option<&str>,
    port: u16,
) -> Result<SocketAddr, ConfigError> {
    let (name, text) = match (flagged, configured) {
        (Some(text), _) => (flag, text),
        (None, Some(text)) => (key, text),
        (None, None) => return Ok(SocketAddr::from(([127, 0, 0, 1], port))),
    };
    // `:0` is loopback with a free port.
    let whole = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
    let whole = whole.replace("localhost:", "127.0.0.1:");
    whole.parse().map_err(|_| {
        ConfigError::new(
            name,
            format!("{text:?} is not an address such as \"127.0.0.1:{port}\" or \":0\""),
        )
    })
}

fn sandboxes() -> Vec<ProviderConfig> {
    let sandbox = |id: &str| ProviderConfig {
        id: id.parse().expect("a valid name"),
        kind: "sandbox".to_owned(),
        settings: ProviderSettings::default(),
        hosted: true,
        own: Own::default(),
    };
    vec![sandbox("sandbox-a"), sandbox("sandbox-b")]
}

fn providers(sections: Vec<sections::Provider>) -> Result<Vec<ProviderConfig>, ConfigError> {
    let mut providers: Vec<ProviderConfig> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let key = |name: &str| format!("provider[{index}].{name}");
        if providers.iter().any(|known| known.id == section.id) {
            return Err(ConfigError::new(key("id"), format!("{} is there twice", section.id)));
        }
        for (name, value) in [("weight", section.weight), ("window", section.window)] {
            if value == Some(0) {
                return Err(ConfigError::new(key(name), "must be at least 1"));
            }
        }
        const LATER: [&str; 6] =
            ["rate", "quota", "webhook_key", "webhook_url", "webhook_auth", "webhook_topics"];
        if let Some(later) = LATER.iter().find(|name| section.own.contains_key(**name)) {
            return Err(ConfigError::new(
                key(later),
                "is not built yet; leave it out in this release",
            ));
        }
        let credentials = section.own.keys().any(|name| !COMMON.contains(&name.as_str()));
        let hosted = section.hosted.unwrap_or(credentials || section.kind == "sandbox");
        let default = ProviderSettings::default();
        providers.push(ProviderConfig {
            id: section.id,
            kind: section.kind,
            settings: ProviderSettings {
                weight: section.weight.unwrap_or(default.weight),
                tier: section.tier.unwrap_or(default.tier),
                window: section.window.unwrap_or(default.window),
                timeout: default.timeout,
                domains: section
                    .domains
                    .map(|domains| domains.iter().map(|domain| domain.to_lowercase()).collect()),
            },
            hosted,
            own: Own(section.own.into_iter().collect()),
        });
    }
    Ok(providers)
}

fn identities(
    sections: Vec<sections::Agent>,
    providers: &[ProviderConfig],
) -> Result<Vec<AgentConfig>, ConfigError> {
    let mut identities: Vec<AgentConfig> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let key = |name: &str| format!("agent[{index}].{name}");
        if identities.iter().any(|known| known.id == section.id) {
            return Err(ConfigError::new(key("id"), format!("{} is there twice", section.id)));
        }
        if providers.iter().any(|provider| provider.id == section.provider && provider.hosted) {
            let reason =
                format!("{} lives in the server; an agent can't serve it too", section.provider);
            return Err(ConfigError::new(key("provider"), reason));
        }
        let token = section.token.ok_or_else(|| ConfigError::new(key("token"), "is missing"))?;
        if token.expose().len() < 16 {
            return Err(ConfigError::new(key("token"), "is shorter than 16 characters"));
        }
        identities.push(AgentConfig { id: section.id, provider: section.provider, token });
    }
    Ok(identities)
}

fn keys(sections: Vec<sections::Key>) -> Result<Vec<KeyConfig>, ConfigError> {
    let mut keys: Vec<KeyConfig> = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let key = |name: &str| format!("key[{index}].{name}");
        if section.secret.expose().len() < 16 {
            return Err(ConfigError::new(key("secret"), "is shorter than 16 characters"));
        }
        if keys.iter().any(|known| known.name == section.name) {
            return Err(ConfigError::new(
                key("name"),
                format!("{:?} is there twice", section.name),
            ));
        }
        let unknown = section.scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str()));
        if let Some(unknown) = unknown {
            let reason = format!("{unknown:?} is not one of {}", SCOPES.join(", "));
            return Err(ConfigError::new(key("scopes"), reason));
        }
        if section.scopes.is_empty() {
            return Err(ConfigError::new(key("scopes"), "is empty"));
        }
        keys.push(KeyConfig { name: section.name, secret: section.secret, scopes: section.scopes });
    }
    Ok(keys)
}

fn lanes(sections: Vec<sections::Lane>) -> Result<Vec<Lane>, ConfigError> {
    let mut lanes = vec![Lane::critical(), Lane::transactional(), Lane::bulk()];
    let mut seen = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let key = |name: &str| format!("lane[{index}].{name}");
        if seen.contains(&section.name) {
            return Err(ConfigError::new(key("name"), format!("{} is there twice", section.name)));
        }
        seen.push(section.name.clone());
        let known = lanes.iter().position(|lane| lane.name == section.name);
        let at = known.unwrap_or_else(|| {
            lanes.push(Lane { name: section.name.clone(), ..Lane::transactional() });
            lanes.len() - 1
        });
        let lane = &mut lanes[at];
        lane.max_age = section.max_age.unwrap_or(lane.max_age);
        lane.doubt_wait = section.doubt_wait.unwrap_or(lane.doubt_wait);
        lane.on_doubt = section.on_doubt.unwrap_or(lane.on_doubt);
        if lane.max_age.is_zero() {
            return Err(ConfigError::new(key("max_age"), "must be longer than 0"));
        }
    }
    Ok(lanes)
}

fn check_health(health: &shivneri_core::health::HealthPolicy) -> Result<(), ConfigError> {
    let wrong = |key: &str, reason: &str| Err(ConfigError::new(format!("health.{key}"), reason));
    if health.beat < Duration::from_millis(10) {
        return wrong("beat", "must be at least 10ms");
    }
    if health.suspect < health.beat * 2 {
        return wrong("suspect", "must be at least twice the beat");
    }
    if health.lost <= health.suspect {
        return wrong("lost", "must be longer than suspect");
    }
    if !(0.0..=1.0).contains(&health.trip_ratio) {
        return wrong("trip_ratio", "must be between 0 and 1");
    }
    if health.open.is_zero() || health.open_cap < health.open {
        return wrong("open_cap", "must be at least as long as open, and open longer than 0");
    }
    if health.stall_min == 0 || health.trip_consecutive == 0 || health.trip_messages == 0 {
        return wrong(
            "trip_consecutive",
            "counts must be at least 1 (stall_min, trip_consecutive, trip_messages)",
        );
    }
    Ok(())
}
