//! The provider kinds and schedulers a server knows by name: those that ship, and one's own.

use std::{collections::BTreeMap, fmt, sync::Arc};

use shivneri_core::{
    ProviderId,
    scheduler::{self, Scheduler},
};
use shivneri_providers::{BuildError, Built, Settings};

use crate::config::{Config, ConfigError, ProviderConfig};

type Constructor = Arc<dyn Fn(ProviderId, Settings) -> Result<Built, BuildError> + Send + Sync>;
type Factory = Arc<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// What can be named in a configuration.
#[derive(Clone)]
pub(crate) struct Kinds {
    providers: BTreeMap<String, Constructor>,
    schedulers: BTreeMap<String, Factory>,
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kinds")
            .field("providers", &self.providers.keys())
            .field("schedulers", &self.schedulers.keys())
            .finish()
    }
}

impl Default for Kinds {
    fn default() -> Self {
        let provider = |(name, construct): (&str, shivneri_providers::Constructor)| {
            (name.to_owned(), Arc::new(construct) as Constructor)
        };
        let scheduler = |name: &'static str| {
            let make = move || scheduler::by_name(name).expect("it is one that ships");
            (name.to_owned(), Arc::new(make) as Factory)
        };
        Self {
            providers: shivneri_providers::catalog().into_iter().map(provider).collect(),
            schedulers: scheduler::NAMES.into_iter().map(scheduler).collect(),
        }
    }
}

impl Kinds {
    pub(crate) fn add_provider(&mut self, name: String, construct: Constructor) {
        self.providers.insert(name, construct);
    }

    pub(crate) fn add_scheduler(&mut self, name: String, make: Factory) {
        self.schedulers.insert(name, make);
    }

    /// Makes the scheduler's factory that the configuration names.
    pub(crate) fn scheduler(&self, config: &Config) -> Result<Factory, ConfigError> {
        self.schedulers.get(&config.scheduler).cloned().ok_or_else(|| {
            let known: Vec<_> = self.schedulers.keys().map(String::as_str).collect();
            let reason = format!("{:?} is none of {}", config.scheduler, known.join(", "));
            ConfigError::new("scheduler.policy", reason)
        })
    }

    /// Builds a hosted provider.
    pub(crate) fn build(
        &self,
        index: usize,
        provider: &ProviderConfig,
    ) -> Result<Built, ConfigError> {
        let construct = self.constructor(index, provider)?;
        construct(provider.id.clone(), provider.own.0.clone()).map_err(|error| {
            let place = format!("provider[{index}]");
            if let BuildError::Setting { key, reason, .. } = error {
                ConfigError::new(format!("{place}.{key}"), reason)
            } else {
                ConfigError::new(place, error.to_string())
            }
        })
    }

    /// Checks that the kind of a provider which agents serve is one that could exist.
    pub(crate) fn check(&self, index: usize, provider: &ProviderConfig) -> Result<(), ConfigError> {
        self.constructor(index, provider).map(drop)
    }

    fn constructor(
        &self,
        index: usize,
        provider: &ProviderConfig,
    ) -> Result<&Constructor, ConfigError> {
        self.providers.get(&provider.kind).ok_or_else(|| {
            let known: Vec<_> = self.providers.keys().map(String::as_str).collect();
            let reason = format!("{:?} is none of {}", provider.kind, known.join(", "));
            ConfigError::new(format!("provider[{index}].kind"), reason)
        })
    }
}
