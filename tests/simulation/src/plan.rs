//! What a seed decides: who there is, what is sent, and what goes wrong when.

use std::time::Duration;

use shivneri_core::{Fault, OnDoubt, draws::Draws};

use crate::{accounts::Mood, net::Host};

/// An account and the machines that serve it; none: the server itself.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) name: &'static str,
    pub(crate) hosts: Vec<Host>,
    pub(crate) idempotent: bool,
}

impl Served {
    /// How many sends it takes at once, where an agent takes `window`. Without agents the server
    /// reaches it itself, with a wider window.
    pub(crate) fn window(&self, window: u32) -> u32 {
        if self.hosts.is_empty() { 4 * window } else { self.hosts.len() as u32 * window }
    }
}

/// A message and when its sender first tries.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) at: Duration,
    pub(crate) subject: String,
    pub(crate) to: Vec<String>,
    pub(crate) lane: &'static str,
    pub(crate) on_doubt: Option<OnDoubt>,
    pub(crate) route: Option<&'static str>,
    pub(crate) delay: Option<Duration>,
    pub(crate) life: Option<Duration>,
}

/// Whether the power goes with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Killed,
    PowerCut,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    ServerDies(Death),
    AgentDies(usize, Death),
    /// Stopped, and let go on later.
    ServerStops,
    AgentStops(usize),
    /// Everything on every machine stops, as a laptop that sleeps.
    WorldStops,
    Cut {
        agent: usize,
        there: bool,
        back: bool,
    },
    Slow {
        agent: usize,
        latency: Duration,
    },
    Feels(usize, Mood),
    SlowDisk(usize),
    SlowSpool,
}

/// A trouble with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) trouble: Trouble,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) accounts: Vec<Served>,
    pub(crate) mails: Vec<Mail>,
    pub(crate) events: Vec<Event>,
    /// What is sent after all that, while no provider is up. At the times since that began.
    pub(crate) outage: Vec<Mail>,
    pub(crate) window: u32,
}

const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

fn millis(draws: &mut Draws, from: usize, to: usize) -> Duration {
    Duration::from_millis((from + draws.below(to - from)) as u64)
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed ^ 0x51_6d);
        let draws = &mut draws;
        let mut host = 0;
        let count = 2 + draws.below(3);
        let accounts: Vec<Served> = (0..count)
            .map(|number| {
                let hosted = number == count - 1 && draws.chance(300);
                let agents = if hosted { 0 } else { 1 + draws.below(2) };
                let hosts = (0..agents)
                    .map(|_| {
                        host += 1;
                        host
                    })
                    .collect();
                Served { name: NAMES[number], hosts, idempotent: draws.chance(250) }
            })
            .collect();
        let length = millis(draws, 20_000, 45_000);
        let mails = (0..40 + draws.below(60))
            .map(|number| mail(draws, number, length, &accounts))
            .collect();
        let events = (0..4 + draws.below(10)).map(|_| event(draws, length, host, count)).collect();
        let window = 2 + draws.below(7) as u32;
        let outage =
            (0..BURST + 3 + draws.below(6)).map(|number| late_mail(draws, number)).collect();
        Self { accounts, mails, events, outage, window }
    }
}

/// How long no provider is up.
pub(crate) const OUTAGE: Duration = Duration::from_secs(60 * 60);

/// So much of its mail comes in its first seconds: enough to find out that a provider fails.
const BURST: usize = 8;

/// Mail of which each provider would take every copy, so that only time decides its end.
fn late_mail(draws: &mut Draws, number: usize) -> Mail {
    let within = if number < BURST { Duration::from_secs(20) } else { OUTAGE };
    Mail {
        at: within.mul_f64(draws.below(1000) as f64 / 1000.0),
        subject: format!("outage {number}"),
        to: vec![format!("reader-late-{number}@example.org")],
        lane: ["critical", "transactional", "bulk"][draws.below(3)],
        on_doubt: None,
        route: None,
        delay: None,
        life: None,
    }
}

fn mail(draws: &mut Draws, number: usize, length: Duration, accounts: &[Served]) -> Mail {
    let kind = match draws.below(100) {
        0..3 => "bad",
        3..6 => "odd",
        6..10 => "large",
        _ => "good",
    };
    let to = (0..1 + draws.below(3).saturating_sub(draws.below(2)))
        .map(|at| {
            let word = match draws.below(100) {
                0..4 => "unknown",
                4..8 => "refused",
                8..12 => "later",
                _ => "reader",
            };
            format!("{word}-{number}-{at}@example.org")
        })
        .collect();
    let on_doubt = match draws.below(4) {
        0 => Some(OnDoubt::Hold),
        1 => Some(OnDoubt::Resend),
        _ => None,
    };
    Mail {
        at: length.mul_f64(draws.below(1000) as f64 / 1000.0),
        subject: format!("{kind} {number}"),
        to,
        lane: ["critical", "transactional", "bulk"][draws.below(3)],
        on_doubt,
        route: draws.chance(60).then(|| accounts[draws.below(accounts.len())].name),
        delay: draws.chance(50).then(|| millis(draws, 1_000, 15_000)),
        life: draws.chance(30).then(|| millis(draws, 20_000, 40_000)),
    }
}

fn event(draws: &mut Draws, length: Duration, agents: usize, accounts: usize) -> Event {
    let agent = 1 + draws.below(agents.max(1));
    let death = if draws.chance(600) { Death::Killed } else { Death::PowerCut };
    let (trouble, longest) = match draws.below(16) {
        0 | 1 => (Trouble::ServerDies(death), 4_000),
        2 | 3 => (Trouble::AgentDies(agent, death), 6_000),
        4 => (Trouble::ServerStops, 8_000),
        5 => (Trouble::AgentStops(agent), 14_000),
        6 => (Trouble::WorldStops, 20_000),
        7 | 8 => {
            let (there, back) = [(true, true), (true, false), (false, true)][draws.below(3)];
            (Trouble::Cut { agent, there, back }, 18_000)
        }
        9 => (Trouble::Slow { agent, latency: millis(draws, 50, 1_500) }, 15_000),
        10 => (Trouble::SlowDisk(agent), 10_000),
        11 => (Trouble::SlowSpool, 6_000),
        _ => (Trouble::Feels(draws.below(accounts), mood(draws)), 15_000),
    };
    Event {
        at: length.mul_f64(draws.below(900) as f64 / 1000.0),
        lasts: millis(draws, 200, longest),
        trouble,
    }
}

fn mood(draws: &mut Draws) -> Mood {
    let faults = [Fault::Key, Fault::Suspended, Fault::Paused, Fault::Quota, Fault::Sender];
    match draws.below(9) {
        0 => Mood::Refusing,
        1 => Mood::Faulty(faults[draws.below(faults.len())]),
        2 => Mood::Throttling(None),
        3 => Mood::Throttling(Some(millis(draws, 1_000, 20_000))),
        4 => Mood::Vague,
        5 | 6 => Mood::Breaking,
        7 => Mood::Stalled,
        _ => Mood::Flaky,
    }
}
