//! One process of the server: the product's parts, put together as the server does.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::{
    AgentId, AttemptId, Dispatcher, LateOutcomes, LogError, Outcome, ProviderSettings, Registry,
    UnsettledAttempt, health::HealthPolicy,
};
use shivneri_spool::{Courier, CourierPolicy, Memory, Spool};
use shivneri_transport::{Caller, Directory, Hub, HubOptions, Refusal, RegistrySessions};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    accounts::{Account, Reached},
    net::{Net, SERVER},
    spool::Disked,
    watch::Watch,
};

/// What the server is to be run with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) net: Net,
    pub(crate) watch: Arc<Watch>,
    /// The accounts, and whether the server reaches them itself.
    pub(crate) accounts: Vec<(Arc<Account>, bool)>,
    pub(crate) window: u32,
    pub(crate) slow: Arc<Mutex<bool>>,
}

/// The product's own, with less time to wait.
pub(crate) fn policy() -> HealthPolicy {
    HealthPolicy {
        open_cap: Duration::from_secs(30),
        ramp: Duration::from_secs(10),
        ..HealthPolicy::default()
    }
}

#[derive(Debug, Default)]
struct Late(OnceLock<Arc<Courier>>);

impl Late {
    fn courier(&self) -> Result<&Arc<Courier>, LogError> {
        self.0.get().ok_or_else(|| LogError::new("the server is still starting"))
    }
}

#[async_trait]
impl LateOutcomes for Late {
    async fn report(&self, attempt: AttemptId, outcome: &Outcome) -> Result<(), LogError> {
        self.courier()?.report(attempt, outcome).await
    }

    async fn unsettled(&self, agent: &AgentId) -> Result<Vec<UnsettledAttempt>, LogError> {
        self.courier()?.unsettled(agent).await
    }
}

/// Every agent of the plan is welcome.
#[derive(Debug)]
struct Everybody(Arc<Disked>);

#[async_trait]
impl Directory for Everybody {
    async fn admit(&self, _: &Caller<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn next_generation(&self, agent: &AgentId) -> Result<u64, Refusal> {
        let generation = self.0.next_generation(agent).await;
        generation.map_err(|error| Refusal::Unavailable { reason: error.to_string() })
    }

    async fn may_start(&self, _: AttemptId, epoch: u64) -> bool {
        epoch == self.0.epoch()
    }
}

/// What runs, and what others may ask of it.
pub(crate) struct Process {
    pub(crate) spool: Arc<Disked>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Puts a server together over this data.
pub(crate) fn start(setup: &Setup, memory: Arc<Memory>) -> Process {
    let Setup { seed, net, watch, accounts, window, slow } = setup.clone();
    let seed = seed ^ memory.epoch().rotate_left(40);
    let (spool, committer) = Disked::open(memory, Arc::clone(&watch), seed, net.clone(), slow);
    let registry = Registry::with_seed(policy(), seed);
    watch.server_started(Arc::clone(&registry));
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&registry)));
    let settings = move || ProviderSettings {
        window: 4 * window,
        timeout: Duration::from_secs(8),
        ..ProviderSettings::default()
    };
    let sessions = RegistrySessions::new(Arc::clone(&registry), move |_| settings());
    let late = Arc::new(Late::default());
    let directory = Arc::new(Everybody(Arc::clone(&spool)));
    let options = HubOptions::new(spool.incarnation());
    let hub = Hub::new(options, directory, Arc::new(sessions), late.clone());
    for (account, hosted) in accounts {
        let added = if hosted {
            let provider = Reached::new(account, net.clone(), SERVER);
            registry.add(Arc::new(provider), settings())
        } else if spool.epoch() > 1 {
            // As it was known before: the server keeps what each provider could.
            let known = hub.provider(&account.id, "simulated", account.known_capabilities());
            registry.add_remote(known.expect("it has one kind"), settings())
        } else {
            Ok(())
        };
        added.expect("each account is added once");
    }
    let log = hub.acknowledging(spool.clone());
    let courier = Arc::new(Courier::new(
        spool.clone(),
        log,
        Arc::clone(&dispatcher),
        CourierPolicy::default(),
    ));
    let _ = late.0.set(Arc::clone(&courier));
    let incoming = ReceiverStream::new(net.listen()).map(|stream| Ok((stream, None)));
    let work = Box::pin(async move {
        let hub = async move {
            let ended = hub.serve_connections(incoming, std::future::pending()).await;
            ended.expect("the network never fails as a whole");
        };
        let courier = async move { courier.run(std::future::pending()).await };
        tokio::join!(committer.run(), dispatcher.drive(), courier, hub);
    });
    Process { spool, registry, work }
}
