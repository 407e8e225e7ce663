//! The kinds of provider that ship, and how one is built from its settings.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;
use shivneri_core::{EmailProvider, ProviderId};

use crate::{mailgun, sandbox, sendgrid, ses};

/// A provider's own settings by name. What a server keeps beside them (weight, tier, rate, …) is
/// not among them.
pub type Settings = serde_json::Map<String, Value>;

/// How a kind is built: its settings are checked, nothing is called yet.
pub type Constructor = fn(ProviderId, Settings) -> Result<Built, BuildError>;

/// A provider, and what its kind offers beside sending.
#[derive(Debug)]
#[non_exhaustive]
pub struct Built {
    /// The provider.
    pub provider: Arc<dyn EmailProvider>,
    /// What a sandbox took; `None` for kinds that send.
    pub mailbox: Option<sandbox::Mailbox>,
    /// How long an answer may take, where the settings say so.
    pub timeout: Option<Duration>,
}

impl Built {
    /// A provider that offers nothing beside sending.
    pub fn new(provider: Arc<dyn EmailProvider>) -> Self {
        Self { provider, mailbox: None, timeout: None }
    }
}

/// Why a provider can't be built. Never repeats a value, since it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no such kind.
    #[error("there is no provider kind {kind:?}, there are {}", .known.join(", "))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A setting is not right.
    #[error("{kind}: {key} {reason}")]
    Setting {
        /// The kind.
        kind: String,
        /// The setting's name.
        key: String,
        /// Why: lower case, no full stop, as `is not text`.
        reason: String,
    },
    /// A setting is missing, or one is there that the kind doesn't know.
    #[error("{kind}: {reason}")]
    Settings {
        /// The kind.
        kind: String,
        /// Why, with the setting's name.
        reason: String,
    },
}

impl BuildError {
    /// A setting of this kind is not right.
    pub fn setting(kind: &str, key: &str, reason: impl ToString) -> Self {
        Self::Setting { kind: kind.into(), key: key.into(), reason: reason.to_string() }
    }
}

/// A kind of provider: what the catalog needs of it.
pub(crate) trait Kind: EmailProvider + Sized {
    /// The kind's name in configuration.
    const NAME: &'static str;
    /// Its settings.
    type Config: DeserializeOwned;

    /// Checks the settings' meaning.
    fn build(id: ProviderId, config: Self::Config) -> Result<Self, BuildError>;

    /// How long an answer may take, where the settings say so.
    fn timeout(&self) -> Option<Duration>;

    /// The sandbox's mailbox.
    fn mailbox(&self) -> Option<sandbox::Mailbox> {
        None
    }
}

/// Reads the settings of a kind, for kinds that live in other crates as well as for these.
///
/// # Errors
///
/// [`BuildError`] that names the kind and the setting which is missing, unknown or not right.
pub fn read_settings<C: DeserializeOwned>(kind: &str, settings: Settings) -> Result<C, BuildError> {
    serde_path_to_error::deserialize(Value::Object(settings)).map_err(|error| {
        let key = error.path().to_string();
        let reason = error.into_inner().to_string();
        // A message about a missing or unknown setting names it; all others have a path to it.
        if key == "." || reason.starts_with("unknown field") {
            BuildError::Settings { kind: kind.into(), reason }
        } else {
            BuildError::setting(kind, &key, reason)
        }
    })
}

fn construct<K: Kind>(id: ProviderId, settings: Settings) -> Result<Built, BuildError> {
    let provider = K::build(id, read_settings(K::NAME, settings)?)?;
    let (mailbox, timeout) = (provider.mailbox(), provider.timeout());
    Ok(Built { provider: Arc::new(provider), mailbox, timeout })
}

macro_rules! catalog {
    ($($module:ident :: $provider:ident),+ $(,)?) => {
        /// Every kind that ships and how it is built.
        ///
        /// A program with kinds of its own puts them beside these.
        pub fn catalog() -> Vec<(&'static str, Constructor)> {
            vec![$((<$module::$provider as Kind>::NAME, construct::<$module::$provider>)),+]
        }

        /// The names of the kinds that ship.
        pub fn kinds() -> &'static [&'static str] {
            &[$(<$module::$provider as Kind>::NAME),+]
        }
    };
}

catalog! {
    sendgrid::SendGrid,
    mailgun::Mailgun,
    ses::Ses,
    sandbox::Sandbox,
}

/// Builds a provider of one of the kinds that ship.
///
/// # Errors
///
/// [`BuildError`], which names the kind and the setting.
///
/// ```
/// let settings = serde_json::json!({ "latency": "20ms" });
/// let settings = settings.as_object().unwrap().clone();
/// let built = shivneri_providers::build("sandbox", "sandbox-a".parse()?, settings)?;
/// assert_eq!(built.provider.kind(), "sandbox");
/// assert!(built.mailbox.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn build(kind: &str, id: ProviderId, settings: Settings) -> Result<Built, BuildError> {
    let found = catalog().into_iter().find(|(name, _)| *name == kind);
    match found {
        Some((_, construct)) => construct(id, settings),
        None => Err(BuildError::UnknownKind {
            kind: kind.chars().take(80).collect(),
            known: kinds().iter().map(|name| (*name).to_owned()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
