//! Putting a server together.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use shivneri_console::ConsoleParts;
use shivneri_core::{
    AttemptLog, Capabilities, Dispatcher, ProviderId, ProviderSettings, Registry,
    scheduler::Scheduler,
};
use shivneri_ingress::{Access, ConfiguredKey, IngressParts, Metrics, Scope, Submission};
use shivneri_providers::{BuildError, Built, Settings, sandbox::Mailbox};
use shivneri_spool::{Courier, CourierPolicy, Register as _, Spool, Sqlite, sqlite::Options};
use shivneri_transport::{Hub, HubOptions, RegistrySessions};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Server, StartError,
    config::{Config, ConfigError},
    directory::Identities,
    keeper,
    kinds::Kinds,
    late::Late,
    mailboxes::HostedMailboxes,
};

/// Collects what a server is made of.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    kinds: Kinds,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, kinds: Kinds::default() }
    }

    /// Makes a provider kind known by this name, in the configuration's `kind`.
    #[must_use]
    pub fn kind(
        mut self,
        name: impl Into<String>,
        construct: impl Fn(ProviderId, Settings) -> Result<Built, BuildError> + Send + Sync + 'static,
    ) -> Self {
        self.kinds.add_provider(name.into(), Arc::new(construct));
        self
    }

    /// Makes a scheduler known by this name, in the configuration's `scheduler.policy`.
    #[must_use]
    pub fn scheduler(
        mut self,
        name: impl Into<String>,
        make: impl Fn() -> Box<dyn Scheduler> + Send + Sync + 'static,
    ) -> Self {
        self.kinds.add_scheduler(name.into(), Arc::new(make));
        self
    }

    /// Checks the configuration as far as it can be without starting anything.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_names().map_err(|error| self.config.origin.located(error))
    }

    fn check_names(&self) -> Result<(), ConfigError> {
        self.kinds.scheduler(&self.config)?;
        for (index, provider) in self.config.providers.iter().enumerate() {
            if provider.hosted {
                self.kinds.build(index, provider)?;
            } else {
                self.kinds.check(index, provider)?;
            }
        }
        Ok(())
    }

    /// Opens the spool, binds the addresses, and puts all parts together. Mail that was queued
    /// before moves once the server [runs](Server::run).
    ///
    /// # Errors
    ///
    /// [`StartError`], which names what stands in the way.
    pub async fn start(self) -> Result<Server, StartError> {
        let origin = self.config.origin.clone();
        self.put_together().await.map_err(|error| error.located(&origin))
    }

    async fn put_together(self) -> Result<Server, StartError> {
        let Self { config, kinds } = self;
        let make = kinds.scheduler(&config)?;
        let spool = open_spool(&config).await?;
        let access = access(&config, &spool).await?;
        refuse_exposure(&config, &spool, &access).await?;

        let registry = Registry::new(config.health.clone());
        let hosted = add_hosted(&config, &kinds, &registry)?;
        let dispatcher =
            Arc::new(Dispatcher::with_scheduler(Arc::clone(&registry), move || make()));

        let late = Arc::new(Late::default());
        let identities = Identities::new(Arc::clone(&spool), &config.identities, &config.providers);
        let identities = Arc::new(identities);
        let hub = hub(&config, &spool, &registry, Arc::clone(&identities), Arc::clone(&late));
        add_known(&config, &hub, &registry, spool.as_ref()).await?;

        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let log: Arc<dyn AttemptLog> = Arc::clone(&spool) as _;
        let log = hub.acknowledging(metrics.log(log));
        let policy = CourierPolicy { drain: config.drain, ..CourierPolicy::default() };
        let courier = Courier::new(Arc::clone(&spool), log, Arc::clone(&dispatcher), policy);
        let courier = Arc::new(courier);
        late.set(Arc::clone(&courier));

        let (http, http_address) = bind("http", config.http).await?;
        let (agents, agents_address) = bind("agents", config.agents).await?;
        let submission = Submission::new(Arc::clone(&spool), Arc::clone(&metrics));
        let mailboxes = HostedMailboxes { hosted, registry: Arc::clone(&registry) };
        let console = ConsoleParts {
            submit: Arc::clone(&submission) as _,
            registry: Arc::clone(&registry),
            spool: Arc::clone(&spool),
            version: env!("CARGO_PKG_VERSION"),
            max_upload: config.max_body,
        };
        let parts = IngressParts {
            submission,
            spool: Arc::clone(&spool),
            registry: Arc::clone(&registry),
            mailboxes: Arc::new(mailboxes),
            access: Arc::clone(&access),
            metrics,
            max_body: config.max_body,
        };
        let (closing, closed) = watch::channel(false);
        let pages =
            shivneri_console::router_until(console, closed).layer(access.layer_by(page_needs));
        let router = shivneri_ingress::router(parts).merge(pages);
        Ok(Server {
            config,
            spool,
            registry,
            dispatcher,
            courier,
            hub,
            identities,
            router,
            closing,
            http,
            http_address,
            agents,
            agents_address,
        })
    }
}

/// What a page asks of its visitor.
fn page_needs(method: &axum::http::Method, path: &str) -> Option<Scope> {
    match (method, path) {
        (_, path) if path.starts_with("/console/assets/") => None,
        (&axum::http::Method::POST, _) => Some(Scope::Send),
        _ => Some(Scope::Read),
    }
}

/// Opens the spool off the runtime: it reads all that is queued.
pub(crate) async fn open_spool(config: &Config) -> Result<Arc<dyn Spool>, StartError> {
    let path: PathBuf = config.spool.clone();
    let options = Options {
        lanes: config.lanes.clone(),
        max_messages: config.max_messages,
        min_free_disk: config.min_free_disk,
        ..Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || Sqlite::open(path, options)).await;
    match opened {
        Ok(result) => Ok(result? as Arc<dyn Spool>),
        Err(error) => Err(StartError::System { what: "opening the spool", source: error.into() }),
    }
}

async fn access(config: &Config, spool: &Arc<dyn Spool>) -> Result<Arc<Access>, StartError> {
    let mut keys = Vec::new();
    for (index, key) in config.keys.iter().enumerate() {
        let wrong = |error: &dyn std::fmt::Display| {
            ConfigError::new(format!("key[{index}]"), error.to_string())
        };
        let scopes: Result<Vec<Scope>, _> = key.scopes.iter().map(|scope| scope.parse()).collect();
        let scopes = scopes.map_err(|error| wrong(&error))?;
        keys.push(
            ConfiguredKey::new(&key.name, key.secret.expose(), &scopes)
                .map_err(|error| wrong(&error))?,
        );
    }
    Ok(Access::load(Arc::clone(spool), keys, config.http.ip().is_loopback()).await?)
}

/// Nothing but loopback is served without keys and identities.
async fn refuse_exposure(
    config: &Config,
    spool: &Arc<dyn Spool>,
    access: &Access,
) -> Result<(), StartError> {
    if !config.http.ip().is_loopback() && !access.any_key() {
        return Err(StartError::Exposed {
            what: "http",
            address: config.http,
            missing: "any API key",
            remedy: "make one first: shivneri-server keys create --name NAME --scopes send,read,admin",
        });
    }
    let identities = !config.identities.is_empty() || !spool.agents().await?.is_empty();
    if !config.agents.ip().is_loopback() && !identities {
        return Err(StartError::Exposed {
            what: "agents",
            address: config.agents,
            missing: "any agent's identity",
            remedy: "add one first: shivneri-server agents add NAME --provider PROVIDER",
        });
    }
    Ok(())
}

fn add_hosted(
    config: &Config,
    kinds: &Kinds,
    registry: &Registry,
) -> Result<BTreeMap<ProviderId, Mailbox>, StartError> {
    let mut mailboxes = BTreeMap::new();
    for (index, provider) in config.providers.iter().enumerate() {
        if !provider.hosted {
            kinds.check(index, provider)?;
            continue;
        }
        let built = kinds.build(index, provider)?;
        let mut settings = provider.settings.clone();
        settings.timeout = built.timeout.unwrap_or(settings.timeout);
        registry.add(built.provider, settings).map_err(|twice| StartError::Duplicate(twice.0))?;
        if let Some(mailbox) = built.mailbox {
            mailboxes.insert(provider.id.clone(), mailbox);
        }
    }
    Ok(mailboxes)
}

fn hub(
    config: &Config,
    spool: &Arc<dyn Spool>,
    registry: &Arc<Registry>,
    identities: Arc<Identities>,
    late: Arc<Late>,
) -> Hub {
    let mut options = HubOptions::new(spool.incarnation());
    options.beat = config.health.beat;
    let policies: BTreeMap<ProviderId, ProviderSettings> =
        config.providers.iter().map(|p| (p.id.clone(), p.settings.clone())).collect();
    let settings = move |id: &ProviderId| policies.get(id).cloned().unwrap_or_default();
    let sessions = RegistrySessions::new(Arc::clone(registry), settings);
    Hub::new(options, identities, Arc::new(sessions), late)
}

/// Registers the accounts that agents served before, so that mail which only an absent one could
/// carry is held for it, and lets all take up where they were.
async fn add_known(
    config: &Config,
    hub: &Hub,
    registry: &Registry,
    spool: &dyn Spool,
) -> Result<(), StartError> {
    let records = spool.providers().await?;
    let pauses = spool.pauses().await?;
    let remote = |id: &ProviderId| config.providers.iter().find(|p| p.id == *id);
    for provider in config.providers.iter().filter(|provider| !provider.hosted) {
        let record = records.iter().find(|record| record.id == provider.id);
        let capabilities =
            record.map_or_else(Capabilities::default, |record| record.capabilities.clone());
        let account = hub.provider(&provider.id, &provider.kind, capabilities).map_err(|kind| {
            ConfigError::new("provider", format!("{} is of kind {kind}", provider.id))
        })?;
        registry
            .add_remote(account, provider.settings.clone())
            .map_err(|twice| StartError::Duplicate(twice.0))?;
    }
    for record in &records {
        if !registry.contains(&record.id) {
            // A hosted provider that left the configuration is gone; an agent's may come back.
            if record.hosted || remote(&record.id).is_some() {
                continue;
            }
            if let Ok(account) = hub.provider(&record.id, &record.kind, record.capabilities.clone())
            {
                registry
                    .add_remote(account, ProviderSettings::default())
                    .map_err(|twice| StartError::Duplicate(twice.0))?;
            }
        }
        keeper::restore(registry, record, pauses.get(&record.id).copied());
    }
    Ok(())
}

async fn bind(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
