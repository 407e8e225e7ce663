//! What must hold from any state, whatever happened before.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::draws::Draws;

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Late(u64),
    Admin(Admin),
    Open(usize),
    Beat(usize),
    Close(usize),
    Drain(usize),
    Ready(usize),
    Send,
    End(usize, Kind),
    Probe(Kind),
    ConfigChanged,
    Pull,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Success,
    Failure,
    Silence,
    Neutral,
    Throttled,
    Fault(Fault),
    Link,
    Abandoned,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Success),
        4 => Just(Kind::Failure),
        1 => Just(Kind::Silence),
        1 => Just(Kind::Neutral),
        1 => Just(Kind::Throttled),
        1 => prop_oneof![Just(Fault::Key), Just(Fault::Suspended), Just(Fault::Sender), Just(Fault::Quota)]
            .prop_map(Kind::Fault),
        1 => Just(Kind::Link),
        1 => Just(Kind::Abandoned),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let admin = prop_oneof![
        4 => Just(Admin::Enabled), 1 => Just(Admin::Draining), 1 => Just(Admin::Disabled)
    ];
    prop_oneof![
        6 => (1_u64..20_000).prop_map(Op::Pass),
        1 => (1_u64..40_000).prop_map(Op::Late),
        1 => admin.prop_map(Op::Admin),
        2 => (0_usize..3).prop_map(Op::Open),
        4 => (0_usize..3).prop_map(Op::Beat),
        1 => (0_usize..3).prop_map(Op::Close),
        1 => (0_usize..3).prop_map(Op::Drain),
        1 => (0_usize..3).prop_map(Op::Ready),
        8 => Just(Op::Send),
        8 => (0_usize..8, kind()).prop_map(|(index, kind)| Op::End(index, kind)),
        2 => kind().prop_map(Op::Probe),
        1 => Just(Op::ConfigChanged),
        1 => Just(Op::Pull),
    ]
}

struct World {
    health: Health,
    policy: HealthPolicy,
    now: Instant,
    draws: Draws,
    generations: [u64; 3],
    remote: bool,
    flights: Vec<(u64, bool, Option<AgentSession>)>,
    ticket: u64,
}

fn agent(index: usize) -> AgentId {
    ["a", "b", "c"][index].parse().unwrap()
}

fn signal(kind: Kind) -> Signal {
    let domain = || "example.com".to_owned();
    match kind {
        Kind::Success => Signal::Success { latency: Duration::from_millis(30), domain: domain() },
        Kind::Failure => Signal::Failure { detail: "HTTP 500".into(), answered: true },
        Kind::Silence => Signal::Failure { detail: "silence".into(), answered: false },
        Kind::Neutral => Signal::Neutral,
        Kind::Throttled => Signal::Throttled(Some(Duration::from_secs(20))),
        Kind::Fault(fault) => Signal::Fault(fault, "fault".into(), domain()),
        Kind::Link => Signal::Link("refused".into()),
        Kind::Abandoned => Signal::Abandoned,
    }
}

fn probe_result(kind: Kind) -> Result<(), SendError> {
    let failure = match kind {
        Kind::Success => return Ok(()),
        Kind::Throttled => Failure::Throttled { retry_after: None },
        Kind::Fault(fault) => Failure::AccountFault(fault),
        Kind::Failure | Kind::Silence | Kind::Neutral | Kind::Link | Kind::Abandoned => {
            Failure::Unavailable
        }
    };
    Err(SendError::new(failure, "probe"))
}

impl World {
    fn new(remote: bool, seed: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            health: if remote { Health::remote(now) } else { Health::local(now) },
            policy: HealthPolicy::default(),
            now,
            draws: Draws::new(seed),
            generations: [0; 3],
            remote,
            flights: Vec::new(),
            ticket: 0,
        };
        if remote {
            world.apply(&Op::Open(0));
        }
        world
    }

    fn step(&mut self, event: HealthEvent<'_>) -> Effects {
        let effects = self.health.step(event, self.now, self.draws.draw(), &self.policy);
        self.check();
        effects
    }

    fn tick(&mut self, late: Duration) -> Effects {
        self.step(HealthEvent::Tick { late, window: 64 })
    }

    /// The invariants that hold after every step.
    fn check(&mut self) {
        // A permit that never came back has expired with its probation.
        if self.health.open_until().is_some() {
            self.flights.iter_mut().for_each(|flight| flight.1 = false);
        }
        let standing = self.health.standing(self.now);
        let status = self.health.status(self.now);
        if standing != Standing::Shut {
            let shut = [
                Status::Disabled,
                Status::Draining,
                Status::Misconfigured,
                Status::Offline,
                Status::Open,
            ];
            assert!(!shut.contains(&status), "{status} stands {standing:?}");
        }
        if let Some(until) = self.health.open_until() {
            assert!(until <= self.now + self.policy.open_cap);
        }
        let on_probation = self.flights.iter().filter(|flight| flight.1).count();
        if matches!(standing, Standing::Probation { free: true, .. }) {
            assert_eq!(on_probation, 0, "a second permit would be out");
        }
    }

    fn send(&mut self) {
        let on_probation = match self.health.standing(self.now) {
            Standing::Shut | Standing::Probation { free: false, .. } => return,
            Standing::Probation { free: true, .. } => true,
            Standing::LastResort | Standing::Open { .. } => false,
        };
        self.ticket += 1;
        let session = self.remote.then(|| AgentSession {
            agent: agent(0),
            generation: self.generations[0],
            journal: uuid::Uuid::nil(),
        });
        let (ticket, timeout) = (self.ticket, Duration::from_secs(60));
        self.flights.push((ticket, on_probation, session));
        let effects = self.health.step(
            HealthEvent::Started { ticket, on_probation, timeout },
            self.now,
            0,
            &self.policy,
        );
        assert_eq!(effects.changed, None, "sending changes no status");
    }

    fn end(&mut self, index: usize, kind: Kind) {
        self.end_of(MessageId::new(), index, kind);
    }

    fn end_of(&mut self, message: MessageId, index: usize, kind: Kind) {
        if self.flights.is_empty() {
            return;
        }
        let (ticket, _, session) = self.flights.remove(index % self.flights.len());
        let signal = &signal(kind);
        self.step(HealthEvent::Ended { ticket, session: session.as_ref(), message, signal });
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                self.tick(Duration::ZERO);
            }
            Op::Late(millis) => {
                self.now += Duration::from_millis(millis);
                self.tick(Duration::from_millis(millis));
            }
            Op::Admin(admin) => {
                self.step(HealthEvent::Admin(admin));
            }
            Op::Open(index) => {
                self.generations[index] += 1;
                let generation = self.generations[index];
                self.step(HealthEvent::SessionOpened(&agent(index), generation));
            }
            Op::Beat(index) => {
                self.step(HealthEvent::Beat(&agent(index), self.generations[index]));
            }
            Op::Close(index) => {
                self.step(HealthEvent::SessionClosed(&agent(index), self.generations[index]));
            }
            Op::Drain(index) => {
                self.step(HealthEvent::AgentDraining(&agent(index), self.generations[index]));
            }
            Op::Ready(index) => {
                self.step(HealthEvent::AgentReady(&agent(index), self.generations[index]));
            }
            Op::Send => self.send(),
            Op::End(index, kind) => self.end(index, kind),
            Op::Probe(kind) => {
                let result = probe_result(kind);
                self.step(HealthEvent::Probed(result.as_ref().copied()));
            }
            Op::ConfigChanged => {
                self.step(HealthEvent::ConfigChanged);
            }
            Op::Pull => {
                self.step(HealthEvent::Pull(self.now + Duration::from_secs(5)));
            }
        }
    }

    /// Faults off, beats on, mail and probes succeed: how long until it is active?
    fn recover(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        self.apply(&Op::Admin(Admin::Enabled));
        if self.remote {
            self.apply(&Op::Open(0));
        }
        while self.now < end && self.health.status(self.now) != Status::Active {
            self.now += Duration::from_millis(250);
            if self.remote {
                self.health.step(
                    HealthEvent::Beat(&agent(0), self.generations[0]),
                    self.now,
                    0,
                    &self.policy,
                );
            }
            let effects = self.health.step(
                HealthEvent::Tick { late: Duration::ZERO, window: 64 },
                self.now,
                0,
                &self.policy,
            );
            if effects.probe {
                self.health.step(HealthEvent::ProbeBegun, self.now, 0, &self.policy);
                self.health.step(HealthEvent::Probed(Ok(())), self.now, 0, &self.policy);
            }
            while !self.flights.is_empty() {
                self.end(0, Kind::Success);
            }
            self.send();
            self.end(0, Kind::Success);
        }
        self.health.status(self.now) == Status::Active
    }
}

/// More cases than usual, and as many as `PROPTEST_CASES` asks for.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(400), ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn from_any_state_it_becomes_active_in_bounded_time(
        ops in prop::collection::vec(op(), 0..80), remote: bool, seed: u64,
    ) {
        let mut world = World::new(remote, seed);
        ops.iter().for_each(|op| world.apply(op));
        // The longest way: a fault's check after 15 minutes, then probation and ramp; or an open
        // circuit's cap, then the same.
        prop_assert!(world.recover(Duration::from_secs(900 + 300 + 60 + 60)), "{:?}", world.health);
    }

    #[test]
    fn a_second_tick_at_the_same_time_changes_nothing(
        ops in prop::collection::vec(op(), 0..80), remote: bool, seed: u64,
    ) {
        let mut world = World::new(remote, seed);
        for op in &ops {
            world.apply(op);
            world.tick(Duration::ZERO);
            let before = format!("{:?}", world.health);
            let effects = world.tick(Duration::ZERO);
            prop_assert_eq!(effects.changed, None);
            prop_assert_eq!(format!("{:?}", world.health), before);
        }
    }

    #[test]
    fn stale_generations_change_no_status(
        ops in prop::collection::vec(op(), 0..60), seed: u64, stale in kind(),
    ) {
        let mut world = World::new(true, seed);
        for op in &ops {
            world.apply(op);
            world.apply(&Op::Open(0));
            let before = (world.health.status(world.now), world.health.standing(world.now));
            let old = world.generations[0] - 1;
            let session = AgentSession { agent: agent(0), generation: old, journal: uuid::Uuid::nil() };
            world.step(HealthEvent::Beat(&agent(0), old));
            world.step(HealthEvent::SessionClosed(&agent(0), old));
            world.step(HealthEvent::AgentDraining(&agent(0), old));
            let signal = &signal(stale);
            world.step(HealthEvent::Ended {
                ticket: u64::MAX, session: Some(&session),
                message: MessageId::new(), signal,
            });
            prop_assert_eq!((world.health.status(world.now), world.health.standing(world.now)), before);
        }
    }

    #[test]
    fn rejections_and_two_poisonous_messages_take_no_provider_down(
        steps in prop::collection::vec((0_u8..5, 0_u64..2000), 1..200), seed: u64,
    ) {
        let mut world = World::new(false, seed);
        let poisonous = [MessageId::new(), MessageId::new()];
        for (what, pause) in steps {
            world.send();
            match what {
                0 | 1 => world.end_of(poisonous[usize::from(what)], 0, Kind::Failure),
                _ => world.end(0, Kind::Neutral),
            }
            world.apply(&Op::Pass(pause));
            prop_assert_eq!(world.health.status(world.now), Status::Active);
        }
    }

    #[test]
    fn neutral_traffic_never_changes_the_status(count in 1_usize..200, seed: u64) {
        let mut world = World::new(false, seed);
        for _ in 0..count {
            world.send();
            world.end(0, Kind::Neutral);
            world.apply(&Op::Pass(100));
            prop_assert_eq!(world.health.status(world.now), Status::Active);
        }
    }
}
