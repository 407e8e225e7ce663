mod agents;

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::{Cause, Doubt, Outcome};

const DRAW: u64 = u64::MAX / 2;

/// A health machine with a clock of its own.
struct Bench {
    health: Health,
    now: Instant,
    policy: HealthPolicy,
    ticket: u64,
}

impl Bench {
    fn local() -> Self {
        let now = Instant::now();
        Self { health: Health::local(now), now, policy: HealthPolicy::default(), ticket: 0 }
    }

    fn with_agents(agents: &[&str]) -> Self {
        let mut bench = Self { health: Health::remote(Instant::now()), ..Self::local() };
        for agent in agents {
            bench.step(HealthEvent::SessionOpened(&agent.parse().unwrap(), 1));
        }
        bench
    }

    fn step(&mut self, event: HealthEvent<'_>) -> Effects {
        self.health.step(event, self.now, DRAW, &self.policy)
    }

    fn pass(&mut self, time: Duration) -> Effects {
        self.now += time;
        self.tick(Duration::ZERO)
    }

    fn tick(&mut self, late: Duration) -> Effects {
        self.step(HealthEvent::Tick { late, window: 64 })
    }

    fn begin(&mut self) -> u64 {
        self.ticket += 1;
        let on_probation = matches!(self.health.standing(self.now), Standing::Probation { .. });
        let (ticket, timeout) = (self.ticket, Duration::from_secs(60));
        self.step(HealthEvent::Started { ticket, on_probation, timeout });
        ticket
    }

    fn end(&mut self, ticket: u64, signal: &Signal) {
        let message = MessageId::new();
        self.step(HealthEvent::Ended { ticket, session: None, message, signal });
    }

    fn send(&mut self, signal: &Signal) {
        let flight = self.begin();
        self.end(flight, signal);
    }

    fn status(&self) -> Status {
        self.health.status(self.now)
    }
}

fn success() -> Signal {
    Signal::Success { latency: Duration::from_millis(20), domain: "example.com".into() }
}

fn failure() -> Signal {
    Signal::Failure { detail: "HTTP 500".into(), answered: true }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn five_failures_of_three_messages_open_the_circuit() {
    let mut bench = Bench::local();
    for _ in 0..4 {
        bench.send(&failure());
    }
    assert_eq!(bench.status(), Status::Active);
    bench.send(&failure());
    assert_eq!(bench.status(), Status::Open);
    assert!(bench.health.reason(bench.now).contains("HTTP 500"));
}

#[test]
fn one_poisonous_message_takes_no_provider_down() {
    let mut bench = Bench::local();
    let message = MessageId::new();
    for _ in 0..100 {
        let ticket = bench.begin();
        let signal = &failure();
        bench.step(HealthEvent::Ended { ticket, session: None, message, signal });
    }
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn less_than_half_of_twenty_within_thirty_seconds_opens_it() {
    let mut bench = Bench::local();
    for _ in 0..7 {
        bench.send(&success());
        bench.send(&failure());
        bench.send(&failure());
    }
    assert_eq!(bench.status(), Status::Open);
}

#[test]
fn an_opened_circuit_comes_back_by_probation_and_ramp() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    assert_eq!(bench.status(), Status::Probing);
    bench.send(&success());
    assert_eq!(bench.status(), Status::Probing, "one success is not enough");
    bench.send(&success());
    assert_eq!(bench.status(), Status::Recovering);
    let Standing::Open { share } = bench.health.standing(bench.now) else { panic!("must be open") };
    assert!((share - 0.1).abs() < 0.01);
    bench.pass(seconds(30));
    let Standing::Open { share } = bench.health.standing(bench.now) else { panic!("must be open") };
    assert!((share - 0.55).abs() < 0.01);
    bench.pass(seconds(30));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn each_relapse_keeps_it_open_longer() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    let mut waits = Vec::new();
    for _ in 0..8 {
        let until = bench.health.open_until().unwrap();
        waits.push(until.duration_since(bench.now).as_secs_f64().round() as u64);
        bench.now = until;
        bench.tick(Duration::ZERO);
        bench.send(&failure());
    }
    assert_eq!(waits, [4, 7, 15, 30, 60, 120, 225, 225]);
}

#[test]
fn only_one_mail_is_out_on_probation_and_its_loss_opens_again() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    bench.begin();
    let standing = bench.health.standing(bench.now);
    assert_eq!(standing, Standing::Probation { free: false, impatient: false });
    bench.pass(seconds(65));
    assert_eq!(bench.status(), Status::Open);
}

#[test]
fn an_expired_permit_says_nothing_about_a_later_probation() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    let expired = bench.begin();
    bench.pass(seconds(65));
    bench.pass(seconds(10));
    let current = bench.begin();
    bench.end(expired, &success());
    bench.end(expired, &success());
    let standing = bench.health.standing(bench.now);
    assert!(matches!(standing, Standing::Probation { free: false, .. }), "{standing:?}");
    bench.end(current, &success());
    assert_eq!(bench.status(), Status::Probing);
}

#[test]
fn a_quiet_provider_returns_by_two_green_probes() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    assert!(!bench.pass(seconds(29)).probe);
    assert!(bench.pass(seconds(1)).probe);
    bench.step(HealthEvent::ProbeBegun);
    assert!(!bench.step(HealthEvent::Probed(Ok(()))).probe);
    assert!(bench.pass(seconds(10)).probe);
    bench.step(HealthEvent::ProbeBegun);
    bench.step(HealthEvent::Probed(Ok(())));
    assert_eq!(bench.status(), Status::Recovering);
}

#[test]
fn a_throttled_provider_is_left_alone_until_retry_after() {
    let mut bench = Bench::local();
    bench.send(&Signal::Throttled(Some(seconds(30))));
    assert_eq!(
        (bench.status(), bench.health.standing(bench.now)),
        (Status::Throttled, Standing::Shut)
    );
    bench.pass(Duration::from_millis(29_999));
    assert_eq!(bench.status(), Status::Throttled);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn a_pause_is_at_least_a_second_and_at_most_a_day() {
    for (asked, kept) in [(0, 1), (10, 10), (1_000_000, 86_400)] {
        let mut bench = Bench::local();
        bench.send(&Signal::Throttled(Some(seconds(asked))));
        let until = bench.health.throttled_until().unwrap();
        assert_eq!(until.duration_since(bench.now), seconds(kept));
    }
}

#[test]
fn a_throttled_probe_is_no_recovery() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    let throttled = SendError::new(Failure::Throttled { retry_after: None }, "slow down");
    for _ in 0..3 {
        bench.step(HealthEvent::Probed(Err(&throttled)));
        bench.pass(seconds(10));
    }
    assert_eq!(bench.status(), Status::Probing);
}

#[test]
fn a_wrong_key_is_checked_at_1_5_and_15_minutes() {
    let mut bench = Bench::local();
    bench.send(&Signal::Fault(Fault::Key, "HTTP 401".into(), "example.com".into()));
    assert_eq!(bench.status(), Status::Misconfigured);
    let red = SendError::new(Failure::AccountFault(Fault::Key), "HTTP 401");
    for wait in [60, 300, 900, 900] {
        assert!(!bench.pass(seconds(wait - 1)).probe, "{wait}");
        assert!(bench.pass(seconds(1)).probe, "{wait}");
        bench.step(HealthEvent::ProbeBegun);
        bench.step(HealthEvent::Probed(Err(&red)));
    }
    bench.step(HealthEvent::ConfigChanged);
    assert!(bench.tick(Duration::ZERO).probe, "a changed configuration is looked at at once");
    bench.step(HealthEvent::ProbeBegun);
    bench.step(HealthEvent::Probed(Ok(())));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn a_green_probe_after_a_suspension_leads_to_probation_only() {
    for fault in [Fault::Suspended, Fault::Paused, Fault::Quota] {
        let mut bench = Bench::local();
        bench.send(&Signal::Fault(fault, "suspended".into(), "example.com".into()));
        bench.step(HealthEvent::Probed(Ok(())));
        assert_eq!(bench.status(), Status::Probing, "{fault:?}");
    }
}

#[test]
fn a_probation_that_begins_anew_gives_no_second_permit_while_the_first_is_out() {
    let mut bench = Bench::local();
    bench.send(&Signal::Fault(Fault::Quota, "used up".into(), "example.com".into()));
    bench.step(HealthEvent::Probed(Ok(())));
    let (ticket, timeout) = (1 << 40, seconds(60));
    bench.step(HealthEvent::Started { ticket, on_probation: true, timeout });
    let suspended = SendError::new(Failure::AccountFault(Fault::Suspended), "suspended");
    bench.step(HealthEvent::Probed(Err(&suspended)));
    bench.step(HealthEvent::Probed(Ok(())));
    let standing = bench.health.standing(bench.now);
    assert!(matches!(standing, Standing::Probation { free: false, .. }), "{standing:?}");
}

#[test]
fn an_unverified_sender_shuts_out_that_domain_only() {
    let mut bench = Bench::local();
    bench.send(&Signal::Fault(Fault::Sender, "not verified".into(), "Example.com".into()));
    assert_eq!(bench.status(), Status::Active);
    assert!(bench.health.refuses_sender("example.COM", bench.now).is_some());
    assert!(bench.health.refuses_sender("example.net", bench.now).is_none());
    bench.pass(seconds(60));
    assert!(bench.health.refuses_sender("example.com", bench.now).is_none(), "mail must prove it");
}

#[test]
fn an_endpoint_that_answers_nothing_is_stalled() {
    let mut bench = Bench::local();
    for _ in 0..20 {
        bench.send(&success());
    }
    let flights = [bench.begin(), bench.begin(), bench.begin()];
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.status(), Status::Active);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.status(), Status::Stalled);
    assert_eq!(bench.health.standing(bench.now), Standing::LastResort);
    bench.end(flights[0], &success());
    assert_eq!(bench.status(), Status::Active, "the first answer clears it");
}

#[test]
fn a_stall_that_ends_unanswered_opens_the_circuit() {
    let mut bench = Bench::local();
    let flights = [bench.begin(), bench.begin(), bench.begin()];
    bench.pass(Duration::from_millis(9_999));
    assert_eq!(bench.status(), Status::Active, "nothing is known of it yet");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.status(), Status::Stalled);
    for flight in flights {
        bench.end(flight, &Signal::Failure { detail: "no answer".into(), answered: false });
    }
    assert_eq!(bench.status(), Status::Open);
}

#[test]
fn a_slow_provider_with_few_in_flight_is_not_stalled() {
    let mut bench = Bench::local();
    bench.begin();
    bench.begin();
    bench.pass(seconds(50));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn a_stall_whose_last_failure_trips_the_circuit_opens_it_once() {
    let mut bench = Bench::local();
    let flights: Vec<u64> = (0..5).map(|_| bench.begin()).collect();
    bench.pass(seconds(10));
    assert_eq!(bench.status(), Status::Stalled);
    for flight in flights {
        bench.end(flight, &Signal::Failure { detail: "no answer".into(), answered: false });
    }
    let open = bench.health.open_until().unwrap().duration_since(bench.now);
    assert!(open <= seconds(5), "{open:?}");
}

#[test]
fn two_failures_in_a_row_while_recovering_open_it_again() {
    let mut bench = Bench::local();
    for _ in 0..5 {
        bench.send(&failure());
    }
    bench.pass(seconds(5));
    bench.send(&success());
    bench.send(&success());
    bench.send(&failure());
    assert_eq!(bench.status(), Status::Recovering);
    bench.send(&failure());
    assert_eq!(bench.status(), Status::Open);
}

#[test]
fn outcomes_bear_on_health_as_the_table_says() {
    let of = |failure, cause| {
        let error = SendError::new(failure, "x").caused_by(cause);
        Signal::of(&Outcome::Failed(error), "example.com", Duration::ZERO)
    };
    use crate::Scope;
    assert_eq!(of(Failure::Rejected(Scope::Message), Cause::Provider), Signal::Neutral);
    assert_eq!(of(Failure::Rejected(Scope::Unexplained), Cause::Provider), Signal::Neutral);
    assert_eq!(of(Failure::Unsupported, Cause::Provider), Signal::Neutral);
    assert_eq!(of(Failure::Unavailable, Cause::Link), Signal::Link("x".into()));
    assert_eq!(of(Failure::Unavailable, Cause::Agent), Signal::Abandoned);
    assert_eq!(of(Failure::InDoubt(Doubt::Strong), Cause::Agent), Signal::Abandoned);
    let unanswered = Signal::Failure { detail: "x".into(), answered: false };
    assert_eq!(of(Failure::InDoubt(Doubt::Strong), Cause::Provider), unanswered);
}
