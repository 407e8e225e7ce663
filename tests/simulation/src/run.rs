//! One run: a phase with troubles, a phase without, and the books compared.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use shivneri_core::{
    MessageId, OnDoubt,
    draft::{AddressText, Draft},
    health::Status as Standing,
    submit::Door,
};
use shivneri_spool::{Acceptance, Idempotency, Incoming, Spool};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    accounts::Mood,
    check,
    plan::{Event, Mail, Plan, Trouble},
    server,
    trace::Trace,
    world::{World, lock},
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

impl Acknowledged {
    /// Whether it must never be sent again when in doubt.
    pub(crate) fn is_held(&self) -> bool {
        self.mail.on_doubt == Some(OnDoubt::Hold)
    }
}

impl World {
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

    /// Waits until all is well again: every account active, so many messages acknowledged, and
    /// nothing unfinished.
    async fn converge(&self, sent: usize) {
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
            if all_active && lock(&self.acknowledged).len() == sent && self.is_unfinished() == 0 {
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
    world.converge(plan.mails.len()).await;
    for (number, mail) in (plan.mails.len()..).zip(plan.outage.iter().cloned()) {
        senders.spawn(Arc::clone(&world).send(number, mail));
    }
    world.outage().await;
    world.converge(plan.mails.len() + plan.outage.len()).await;
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
