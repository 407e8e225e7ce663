//! One run: a phase with troubles, a phase without, and the books compared.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::FutureExt;
use shivneri_core::{
    Lane, MessageId, OnDoubt, Registry,
    draft::{AddressText, Draft},
    draws::Draws,
    health::Status as Standing,
    submit::Door,
};
use shivneri_spool::{Acceptance, Idempotency, Incoming, Memory, Options, Spool};
use shivneri_transport::agent::{self, AgentOptions, Connect, Connection};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    check,
    disk::Disk,
    net::{Host, Link, Net, SERVER},
    plan::{Death, Event, Mail, Plan, Trouble},
    server::{self, Setup},
    spool::Disked,
    trace::Trace,
    watch::Watch,
    world::{Account, Mood, Reached},
};

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The digest of everything that happened.
    pub digest: u64,
    /// Messages acknowledged.
    pub acknowledged: usize,
    /// Messages by their final status.
    pub states: BTreeMap<&'static str, usize>,
    /// Acceptances beyond the first, over all recipients.
    pub doubles: u64,
    /// Attempts that were ever in doubt.
    pub doubtful: usize,
    /// Attempts begun.
    pub attempts: u64,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// What a message's sender was told.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) mail: Mail,
    pub(crate) id: MessageId,
}

struct Machine {
    host: Host,
    account: Arc<Account>,
    disk: Disk,
    process: Option<JoinHandle<()>>,
}

/// The world as the one who troubles it sees it.
pub(crate) struct World {
    plan: Plan,
    setup: Setup,
    net: Net,
    trace: Trace,
    pub(crate) watch: Arc<Watch>,
    pub(crate) accounts: Vec<Arc<Account>>,
    machines: Mutex<Vec<Machine>>,
    server: Mutex<Option<JoinHandle<()>>>,
    memory: Mutex<Arc<Memory>>,
    registry: Mutex<Option<Arc<Registry>>>,
    open: watch::Sender<Option<Arc<Disked>>>,
    pub(crate) acknowledged: Mutex<Vec<Acknowledged>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        Lane { max_age: minutes(60), doubt_wait, ..Lane::transactional() },
        Lane { max_age: minutes(120), doubt_wait, ..Lane::bulk() },
    ]
}

impl World {
    fn new(seed: u64, plan: Plan, trace: Trace) -> Arc<Self> {
        let mut draws = Draws::new(seed);
        let net = Net::new(draws.draw());
        let served = plan.accounts.iter().filter(|account| !account.hosts.is_empty());
        let id = |name: &str| name.parse().expect("the plan's names are valid");
        let agents = served.map(|account| (id(account.name), account.hosts.clone())).collect();
        let policy = server::policy();
        let silence = policy.suspect + 2 * policy.beat;
        let watch = Watch::new(net.clone(), trace.clone(), agents, silence);
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
        })
    }

    pub(crate) fn memory(&self) -> Arc<Memory> {
        Arc::clone(&lock(&self.memory))
    }

    fn start_server(&self) {
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
        let next = {
            let mut memory = lock(&self.memory);
            *memory = memory.reopen();
            Arc::clone(&memory)
        };
        self.watch.server_crashed();
        self.open.send_replace(None);
        process.abort();
        let _ = process.await;
        let audit = next.audit().await.expect("the model can be read");
        if audit.gap() != 0 {
            self.watch.violation(format!("P1: after a crash the audit has a gap: {audit:?}"));
        }
        true
    }

    fn start_agent(&self, host: Host) {
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
                let provider = Reached { account: Arc::clone(&account), net: net.clone(), host };
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

    /// One trouble from its beginning to its end.
    async fn trouble(self: Arc<Self>, event: Event) {
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

    /// Sends one message until it is acknowledged.
    async fn send(self: Arc<Self>, number: usize, mail: Mail) {
        sleep(mail.at).await;
        let began = SystemTime::now();
        let draft = Draft {
            from: Some("asha@example.com".into()),
            to: mail.to.iter().map(|to| AddressText::from(to.as_str())).collect(),
            subject: mail.subject.clone(),
            text: Some(if mail.subject.starts_with("large") {
                "x".repeat(40_000)
            } else {
                "hello".into()
            }),
            lane: Some(mail.lane.into()),
            on_doubt: mail.on_doubt,
            providers: mail.route.map(|route| vec![route.to_owned()]),
            send_at: mail.delay.map(|delay| began + delay),
            expires_at: mail.life.map(|life| began + life),
            ..Draft::default()
        };
        let mut open = self.open.subscribe();
        loop {
            let spool = match open.wait_for(Option::is_some).await {
                Ok(spool) => spool.clone().expect("it was waited for"),
                Err(_) => return,
            };
            let message = draft.check(MessageId::new(), began).expect("the plan's mail is valid");
            let key = format!("key-{number}");
            let incoming = Incoming {
                message,
                door: Door::Http,
                owner: "simulation".into(),
                idempotency: Some(Idempotency { key, fingerprint: [number as u8; 32] }),
                at: SystemTime::now(),
            };
            match timeout(Duration::from_secs(5), spool.accept(incoming)).await {
                Ok(Ok(Acceptance::New { id, .. } | Acceptance::Replayed { id, .. })) => {
                    self.trace.note(|| format!("{id} is acknowledged: {}", mail.subject));
                    lock(&self.acknowledged).push(Acknowledged { mail, id });
                    return;
                }
                Ok(Ok(Acceptance::Conflict)) => {
                    self.watch.violation(format!("P4: key {number} is in conflict"));
                    return;
                }
                Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(300)).await,
            }
        }
    }

    /// Every account's standing, where all are known.
    fn standings(&self) -> BTreeMap<String, Standing> {
        let registry = lock(&self.registry).clone();
        let views = registry.into_iter().flat_map(|registry| registry.views());
        views.map(|view| (view.id.to_string(), view.status)).collect()
    }

    fn is_unfinished(&self) -> u64 {
        let stats = self.memory().stats().now_or_never();
        stats.and_then(Result::ok).map_or(u64::MAX, |stats| stats.unfinished())
    }

    /// Waits until all is well again: every account active, and nothing unfinished.
    async fn converge(&self) {
        let healed = Instant::now();
        let had_fault = |name: &str| {
            let faulty = |event: &&Event| {
                matches!(event.trouble, Trouble::Feels(at, Mood::Faulty(_))
                    if self.plan.accounts[at].name == name)
            };
            self.plan.events.iter().any(|event| faulty(&event))
        };
        let policy = server::policy();
        // The longest circuit, the wait before probes count for mail, two probes, the ramp, and
        // what was under way and may fail yet.
        let usual = policy.open_cap + policy.ramp + Duration::from_secs(30 + 20 + 20);
        // A fault of the account is looked at again after 1, 5 and 15 minutes.
        let fault = Duration::from_secs(15 * 60);
        let mut waiting: Vec<&str> = self.plan.accounts.iter().map(|one| one.name).collect();
        loop {
            let standings = self.standings();
            waiting.retain(|name| standings.get(*name) != Some(&Standing::Active));
            let passed = healed.elapsed();
            waiting.retain(|name| {
                let bound = usual + if had_fault(name) { fault } else { Duration::ZERO };
                if passed > bound {
                    let now = standings.get(*name);
                    self.watch
                        .violation(format!("P6: {name} is {now:?} {bound:?} after all was well"));
                }
                passed <= bound
            });
            let all_active = standings.len() == self.plan.accounts.len()
                && standings.values().all(|standing| *standing == Standing::Active);
            let acknowledged = lock(&self.acknowledged).len() == self.plan.mails.len();
            if all_active && acknowledged && self.is_unfinished() == 0 {
                return;
            }
            if passed > Duration::from_secs(2 * 60 * 60) {
                let unfinished = self.is_unfinished();
                self.watch.violation(format!(
                    "liveness: after two hours {unfinished} messages are unfinished, {standings:?}"
                ));
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Runs one seed on this thread, which must have [entered](crate::os::enter) the simulation.
pub(crate) async fn run(seed: u64, print: bool) -> Report {
    let trace = Trace::new(print);
    let plan = Plan::of(seed);
    let world = World::new(seed, plan.clone(), trace.clone());
    world.start_server();
    for account in &plan.accounts {
        for host in &account.hosts {
            world.start_agent(*host);
        }
    }
    // Some seconds in which they meet.
    sleep_until(Instant::now() + Duration::from_secs(2)).await;
    let mut senders = JoinSet::new();
    for (number, mail) in plan.mails.iter().cloned().enumerate() {
        senders.spawn(Arc::clone(&world).send(number, mail));
    }
    let mut troubles = JoinSet::new();
    for event in plan.events.iter().copied() {
        troubles.spawn(Arc::clone(&world).trouble(event));
    }
    while let Some(ended) = troubles.join_next().await {
        ended.expect("a trouble ends");
    }
    trace.note(|| "all is well".into());
    world.converge().await;
    let (states, doubles) = check::compare(&world).await;
    let acknowledged = lock(&world.acknowledged).len();
    Report {
        seed,
        digest: trace.digest(),
        acknowledged,
        states,
        doubles,
        doubtful: world.watch.doubtful(),
        attempts: world.watch.attempts(),
        virtual_time: trace.elapsed(),
        violations: world.watch.violations(),
    }
}

impl Acknowledged {
    /// Whether it must never be sent again when in doubt.
    pub(crate) fn is_held(&self) -> bool {
        self.mail.on_doubt == Some(OnDoubt::Hold)
    }
}
