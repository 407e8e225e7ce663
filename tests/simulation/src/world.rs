//! The machines, the network and the providers as the one who troubles them sees them.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use shivneri_core::{Lane, Registry, draws::Draws};
use shivneri_spool::{Memory, Options, Spool};
use shivneri_transport::agent::{self, AgentOptions, Connect, Connection};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{
    accounts::{Account, Mood, Reached},
    disk::Disk,
    net::{Host, Link, Net, SERVER},
    plan::{Death, Event, OUTAGE, Plan, Trouble},
    run::Acknowledged,
    server::{self, Setup},
    spool::Disked,
    trace::Trace,
    watch::Watch,
};
struct Machine {
    host: Host,
    account: Arc<Account>,
    disk: Disk,
    process: Option<JoinHandle<()>>,
}

/// The world as the one who troubles it sees it.
pub(crate) struct World {
    pub(crate) plan: Plan,
    setup: Setup,
    net: Net,
    pub(crate) trace: Trace,
    pub(crate) watch: Arc<Watch>,
    pub(crate) accounts: Vec<Arc<Account>>,
    machines: Mutex<Vec<Machine>>,
    server: Mutex<Option<JoinHandle<()>>>,
    memory: Mutex<Arc<Memory>>,
    pub(crate) registry: Mutex<Option<Arc<Registry>>>,
    pub(crate) open: watch::Sender<Option<Arc<Disked>>>,
    pub(crate) acknowledged: Mutex<Vec<Acknowledged>>,
    /// When the hour without any provider was over.
    pub(crate) outage_over: Mutex<Option<SystemTime>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the server may try a provider that it has not found out to be down.
const NOTICED: Duration = Duration::from_secs(60);

/// How an agent reaches the server.
#[derive(Debug)]
struct Cable(Net, Host);

#[async_trait]
impl Connect for Cable {
    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.0.connect(self.1).await?))
    }
}

pub(crate) fn lanes() -> Vec<Lane> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let doubt_wait = Duration::from_secs(20);
    vec![
        Lane { max_age: minutes(30), ..Lane::critical() },
        Lane { max_age: minutes(90), doubt_wait, ..Lane::transactional() },
        Lane { max_age: minutes(120), doubt_wait, ..Lane::bulk() },
    ]
}
impl World {
    pub(crate) fn new(seed: u64, plan: Plan, trace: Trace) -> Arc<Self> {
        let mut draws = Draws::new(seed);
        let net = Net::new(draws.draw());
        let served = plan.accounts.iter().filter(|account| !account.hosts.is_empty());
        let id = |name: &str| name.parse().expect("the plan's names are valid");
        let agents = served.map(|account| (id(account.name), account.hosts.clone())).collect();
        let policy = server::policy();
        let silence = policy.suspect + 2 * policy.beat;
        let windows = plan.accounts.iter().map(|account| account.window(plan.window));
        let windows = windows.map(u64::from).sum();
        let watch = Watch::new(net.clone(), trace.clone(), agents, silence, windows);
        let make = |served: &crate::plan::Served| {
            let id = served.name.parse().expect("the plan's names are valid");
            Account::new(id, draws.draw(), served.idempotent, trace.clone())
        };
        let accounts: Vec<_> = plan.accounts.iter().map(make).collect();
        let of = accounts.iter().zip(&plan.accounts);
        let machines = of
            .clone()
            .flat_map(|(account, served)| served.hosts.iter().map(move |host| (account, *host)))
            .map(|(account, host)| Machine {
                host,
                account: Arc::clone(account),
                disk: Disk::new(draws.draw()),
                process: None,
            })
            .collect();
        let hosted = of.map(|(account, served)| (Arc::clone(account), served.hosts.is_empty()));
        let setup = Setup {
            seed,
            net: net.clone(),
            watch: Arc::clone(&watch),
            accounts: hosted.collect(),
            window: plan.window,
            slow: Arc::default(),
        };
        let memory = Memory::with(&Options { lanes: lanes(), ..Options::default() });
        Arc::new(Self {
            plan,
            setup,
            net,
            trace,
            watch,
            accounts,
            machines: Mutex::new(machines),
            server: Mutex::default(),
            memory: Mutex::new(memory),
            registry: Mutex::default(),
            open: watch::Sender::new(None),
            acknowledged: Mutex::default(),
            outage_over: Mutex::default(),
        })
    }

    pub(crate) fn memory(&self) -> Arc<Memory> {
        Arc::clone(&lock(&self.memory))
    }

    pub(crate) fn start_server(&self) {
        let process = server::start(&self.setup, self.memory());
        *lock(&self.registry) = Some(process.registry);
        self.open.send_replace(Some(process.spool));
        *lock(&self.server) = Some(tokio::spawn(process.work));
        self.trace.note(|| "the server runs".into());
    }

    async fn kill_server(&self, death: Death) -> bool {
        let Some(process) = lock(&self.server).take() else { return false };
        self.trace.note(|| format!("the server dies: {death:?}"));
        self.net.kill(SERVER, death == Death::Killed);
        let last = self.memory();
        let before = last.stats().await.expect("the model can be read");
        let next = last.reopen();
        *lock(&self.memory) = Arc::clone(&next);
        let after = next.stats().await.expect("the model can be read");
        self.watch.server_crashed(&before, &after);
        self.open.send_replace(None);
        process.abort();
        let _ = process.await;
        let audit = next.audit().await.expect("the model can be read");
        if audit.gap() != 0 {
            self.watch.violation(format!("P1: after a crash the audit has a gap: {audit:?}"));
        }
        true
    }

    pub(crate) fn start_agent(&self, host: Host) {
        let mut machines = lock(&self.machines);
        let Some(machine) = machines.iter_mut().find(|machine| machine.host == host) else {
            return;
        };
        let (net, disk) = (self.net.clone(), machine.disk.clone());
        let account = Arc::clone(&machine.account);
        let (window, trace) = (self.plan.window, self.trace.clone());
        machine.process = Some(tokio::spawn(async move {
            loop {
                let id = format!("agent-{host}").parse().expect("it is a name");
                let mut options = AgentOptions::new("http://server.simulated", id);
                options.connect = Some(Arc::new(Cable(net.clone(), host)));
                options.journal = Some(Arc::new(disk.mount()));
                options.window = window;
                let provider = Reached::new(Arc::clone(&account), net.clone(), host);
                let ended = agent::serve(Arc::new(provider), options, std::future::pending()).await;
                trace.note(|| format!("agent {host} ended: {ended:?}"));
                sleep(Duration::from_secs(1)).await;
            }
        }));
    }

    async fn kill_agent(&self, host: Host, death: Death) -> bool {
        let process = {
            let mut machines = lock(&self.machines);
            let machine = machines.iter_mut().find(|machine| machine.host == host);
            let Some(process) = machine.and_then(|machine| machine.process.take()) else {
                return false;
            };
            self.net.kill(host, death == Death::Killed);
            let machine = machines.iter().find(|machine| machine.host == host);
            machine.into_iter().for_each(|machine| match death {
                Death::Killed => machine.disk.unmount(),
                Death::PowerCut => machine.disk.lose_power(),
            });
            process
        };
        process.abort();
        let _ = process.await;
        true
    }

    /// An hour in which no provider is up: every agent is gone, and what the server reaches itself
    /// refuses.
    pub(crate) async fn outage(&self) {
        self.trace.note(|| "no provider is up".into());
        let hosts: Vec<Host> = lock(&self.machines).iter().map(|machine| machine.host).collect();
        for host in &hosts {
            let death = if host % 2 == 0 { Death::Killed } else { Death::PowerCut };
            self.kill_agent(*host, death).await;
        }
        self.accounts.iter().for_each(|account| account.set_mood(Mood::Refusing));
        // Until then what was under way ends, and what the server reaches itself is found out.
        sleep(NOTICED).await;
        self.watch.set_all_down(true);
        sleep(OUTAGE - NOTICED).await;
        self.watch.set_all_down(false);
        *lock(&self.outage_over) = Some(SystemTime::now());
        self.trace.note(|| "every provider is up again".into());
        self.accounts.iter().for_each(|account| account.set_mood(Mood::Fine));
        for host in hosts {
            self.net.power_on(host);
            self.start_agent(host);
        }
    }

    /// One trouble from its beginning to its end.
    pub(crate) async fn trouble(self: Arc<Self>, event: Event) {
        sleep(event.at).await;
        let (trouble, lasts) = (event.trouble, event.lasts);
        self.trace.note(|| format!("for {lasts:?}: {trouble:?}"));
        match trouble {
            Trouble::ServerDies(death) => {
                if self.kill_server(death).await {
                    sleep(lasts).await;
                    self.net.power_on(SERVER);
                    self.start_server();
                }
            }
            Trouble::AgentDies(host, death) => {
                if self.kill_agent(host, death).await {
                    sleep(lasts).await;
                    self.net.power_on(host);
                    self.start_agent(host);
                }
            }
            Trouble::ServerStops => {
                self.net.freeze(SERVER, true);
                self.watch.excuse(lasts + Duration::from_secs(5));
                sleep(lasts).await;
                self.net.freeze(SERVER, false);
            }
            Trouble::AgentStops(host) => {
                self.net.freeze(host, true);
                sleep(lasts).await;
                self.net.freeze(host, false);
            }
            Trouble::WorldStops => {
                self.watch.excuse(lasts + Duration::from_secs(5));
                tokio::time::advance(lasts).await;
            }
            Trouble::Cut { agent, there, back } => {
                let cut = |cut, from, to| {
                    let link = self.net.link(from, to);
                    self.net.set_link(from, to, Link { cut, ..link });
                };
                for cuts in [true, false] {
                    if there {
                        cut(cuts, agent, SERVER);
                    }
                    if back {
                        cut(cuts, SERVER, agent);
                    }
                    if cuts {
                        sleep(lasts).await;
                    }
                }
            }
            Trouble::Slow { agent, latency } => {
                for latency in [latency, Link::default().latency] {
                    for (from, to) in [(agent, SERVER), (SERVER, agent)] {
                        let link = self.net.link(from, to);
                        self.net.set_link(from, to, Link { latency, ..link });
                    }
                    if latency != Link::default().latency {
                        sleep(lasts).await;
                    }
                }
            }
            Trouble::Feels(account, mood) => {
                self.accounts[account].set_mood(mood);
                sleep(lasts).await;
                self.accounts[account].set_mood(Mood::Fine);
            }
            Trouble::SlowDisk(host) => {
                let disk = {
                    let machines = lock(&self.machines);
                    machines.iter().find(|one| one.host == host).map(|one| one.disk.clone())
                };
                if let Some(disk) = disk {
                    disk.set_slow(true);
                    sleep(lasts).await;
                    disk.set_slow(false);
                }
            }
            Trouble::SlowSpool => {
                *lock(&self.setup.slow) = true;
                sleep(lasts).await;
                *lock(&self.setup.slow) = false;
            }
        }
        self.trace.note(|| format!("over: {trouble:?}"));
    }
}
