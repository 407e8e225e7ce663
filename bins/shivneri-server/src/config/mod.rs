//! The server's configuration: flags over `SHIVNERI__SECTION__KEY` over a TOML file over
//! defaults. What is not known, or not built yet, is refused by name.

mod check;
mod error;
mod lines;
mod load;
mod sections;
#[cfg(test)]
mod tests;
mod units;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use error::ConfigError;
pub use load::{Overrides, Source};
use shivneri_core::{AgentId, Lane, ProviderId, ProviderSettings, health::HealthPolicy};
use shivneri_providers::{Secret, Settings};

/// Everything the server needs to know before it starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the HTTP API and the console listen.
    pub http: SocketAddr,
    /// Bytes that a request's body may have at most.
    pub max_body: usize,
    /// HTTP connections at once.
    pub max_connections: usize,
    /// Where agents connect.
    pub agents: SocketAddr,
    /// The spool's database file; its directory is the data directory.
    pub spool: PathBuf,
    /// Unfinished messages that the spool takes at most.
    pub max_messages: u64,
    /// Free bytes of the spool's disk below which it takes no more mail; 0: not looked at.
    pub min_free_disk: u64,
    /// How long bodies are kept after the final state.
    pub keep_bodies: Duration,
    /// How long messages are kept after the final state.
    pub keep_messages: Duration,
    /// The scheduler's name.
    pub scheduler: String,
    /// The health machine's parameters.
    pub health: HealthPolicy,
    /// How long a drain waits for what is under way.
    pub drain: Duration,
    /// The providers.
    pub providers: Vec<ProviderConfig>,
    /// The agents that are let in, beside those added to the spool.
    pub identities: Vec<AgentConfig>,
    /// API keys, beside those created in the spool.
    pub keys: Vec<KeyConfig>,
    /// The lanes, the built-in ones included.
    pub lanes: Vec<Lane>,
    /// No configuration was given: loopback only, any agent's name is welcome.
    pub dev: bool,
    /// The file it was read from, to tell where a mistake stands that is found later.
    pub(crate) origin: Origin,
}

/// The file a configuration was read from. Its text may hold secrets.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    file: Option<PathBuf>,
    text: Arc<str>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl Origin {
    /// Adds the file and line to an error that names a key of the file.
    pub(crate) fn located(&self, error: ConfigError) -> ConfigError {
        if self.file.is_none() || error.line().is_some() || error.key().starts_with(['-', 'S']) {
            return error;
        }
        let line = lines::line_of(&self.text, error.key());
        error.at(self.file.clone(), line)
    }
}

/// A `[[provider]]`.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The account's name.
    pub id: ProviderId,
    /// The kind of service.
    pub kind: String,
    /// Its place among the others.
    pub settings: ProviderSettings,
    /// Whether it lives in the server; otherwise agents serve it.
    pub hosted: bool,
    /// The kind's own settings. Secrets among them are text: never print this.
    pub own: Own,
}

/// A kind's own settings, which may hold secrets.
#[derive(Clone, Default)]
pub struct Own(pub Settings);

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An `[[agent]]`.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The agent.
    pub id: AgentId,
    /// The account it serves.
    pub provider: ProviderId,
    /// What it proves itself with.
    pub token: Secret,
}

/// A `[[key]]`.
#[derive(Clone, Debug)]
pub struct KeyConfig {
    /// Whose it is.
    pub name: String,
    /// The key.
    pub secret: Secret,
    /// What it allows.
    pub scopes: Vec<String>,
}

impl Config {
    /// What applies without any configuration: everything on loopback, two sandboxes.
    pub fn dev() -> Self {
        Source::default().load().expect("the defaults are valid")
    }

    /// The data directory: where the spool's database lives.
    pub fn data_dir(&self) -> PathBuf {
        match self.spool.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        }
    }
}
