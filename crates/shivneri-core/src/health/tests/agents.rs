use super::*;

#[test]
fn a_closed_connection_is_noticed_at_once_and_silence_after_a_second() {
    let mut bench = Bench::with_agents(&["a", "b"]);
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    bench.step(HealthEvent::SessionClosed(&a, 1));
    assert_eq!(bench.status(), Status::Active, "another agent serves it");
    bench.step(HealthEvent::SessionClosed(&b, 1));
    assert_eq!(bench.status(), Status::Offline);

    let mut bench = Bench::with_agents(&["a"]);
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.status(), Status::Active);
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        (bench.status(), bench.health.standing(bench.now)),
        (Status::Suspect, Standing::Shut)
    );
    bench.pass(seconds(2));
    assert_eq!(bench.status(), Status::Offline);
    bench.step(HealthEvent::Beat(&a, 1));
    assert_eq!(bench.status(), Status::Recovering);
    bench.pass(Duration::from_millis(900));
    bench.step(HealthEvent::Beat(&a, 1));
}

#[test]
fn a_first_registration_has_no_ramp_and_a_return_has_five_seconds() {
    let mut bench = Bench::with_agents(&["a"]);
    let a = "a".parse().unwrap();
    assert_eq!(bench.status(), Status::Active);
    bench.step(HealthEvent::SessionClosed(&a, 1));
    bench.step(HealthEvent::SessionOpened(&a, 2));
    assert_eq!(bench.status(), Status::Recovering);
    for _ in 0..20 {
        bench.pass(Duration::from_millis(250));
        bench.step(HealthEvent::Beat(&a, 2));
    }
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn a_silent_agent_that_an_operator_enables_may_beat_again() {
    let mut bench = Bench::with_agents(&["a"]);
    bench.pass(seconds(5));
    assert_eq!(bench.status(), Status::Offline);
    bench.step(HealthEvent::Admin(Admin::Enabled));
    bench.step(HealthEvent::Beat(&"a".parse().unwrap(), 1));
    assert_eq!(bench.status(), Status::Recovering);
}

#[test]
fn a_beat_that_was_under_way_when_the_connection_closed_revives_nobody() {
    let mut bench = Bench::with_agents(&["a"]);
    let a = "a".parse().unwrap();
    bench.step(HealthEvent::SessionClosed(&a, 1));
    bench.step(HealthEvent::Beat(&a, 1));
    assert_eq!(bench.status(), Status::Offline);
}

#[test]
fn our_own_pause_is_not_their_death() {
    let mut bench = Bench::with_agents(&["a"]);
    bench.now += seconds(30);
    bench.tick(seconds(30));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn after_our_own_pause_a_live_agent_has_all_its_time_again() {
    for (silent, status) in [(900, Status::Active), (1000, Status::Suspect)] {
        let mut bench = Bench::with_agents(&["a"]);
        bench.pass(Duration::from_millis(silent));
        bench.now += seconds(30);
        bench.tick(seconds(30));
        bench.pass(Duration::from_millis(999));
        assert_eq!(bench.status(), status, "{silent} ms of silence before it");
    }
}

#[test]
fn a_late_tick_of_ours_forgives_only_its_lateness() {
    let mut bench = Bench::with_agents(&["a"]);
    for _ in 0..4 {
        // Each tick 250 ms after the last one, and two seconds late.
        bench.now += Duration::from_millis(2250);
        bench.tick(seconds(2));
    }
    assert_eq!(bench.status(), Status::Suspect);
}

#[test]
fn an_older_generation_changes_nothing() {
    let mut bench = Bench::with_agents(&["a"]);
    let a: AgentId = "a".parse().unwrap();
    bench.step(HealthEvent::SessionOpened(&a, 2));
    bench.step(HealthEvent::SessionClosed(&a, 1));
    assert_eq!(bench.status(), Status::Active);
    let old = AgentSession { agent: a.clone(), generation: 1, journal: uuid::Uuid::nil() };
    for _ in 0..10 {
        let ticket = bench.begin();
        let (message, signal, session) = (MessageId::new(), &failure(), Some(&old));
        bench.step(HealthEvent::Ended { ticket, session, message, signal });
    }
    assert_eq!(bench.status(), Status::Active);
    bench.step(HealthEvent::SessionOpened(&a, 1));
    bench.step(HealthEvent::SessionClosed(&a, 1));
    assert_eq!(bench.status(), Status::Active);
}

#[test]
fn an_agents_ready_clears_only_its_own_drain() {
    let mut bench = Bench::with_agents(&["a", "b"]);
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    bench.step(HealthEvent::AgentDraining(&a, 1));
    bench.step(HealthEvent::AgentDraining(&b, 1));
    assert_eq!(bench.status(), Status::Offline);
    bench.step(HealthEvent::Admin(Admin::Disabled));
    bench.step(HealthEvent::AgentReady(&a, 1));
    assert_eq!(bench.status(), Status::Disabled);
    bench.step(HealthEvent::Admin(Admin::Enabled));
    assert_eq!(bench.status(), Status::Active);
    assert_eq!(bench.health.agent_presence(&b, 1), None);
}

#[test]
fn a_broken_way_counts_against_the_account_only_when_all_agents_have_it() {
    let mut bench = Bench::with_agents(&["a", "b"]);
    let session = |agent: &str| AgentSession {
        agent: agent.parse().unwrap(),
        generation: 1,
        journal: uuid::Uuid::nil(),
    };
    let fail_at = |bench: &mut Bench, agent: &str| {
        let ticket = bench.begin();
        let (signal, session) = (&Signal::Link("connection refused".into()), &session(agent));
        let message = MessageId::new();
        let session = Some(session);
        bench.step(HealthEvent::Ended { ticket, session, message, signal });
    };
    for _ in 0..20 {
        fail_at(&mut bench, "a");
    }
    assert_eq!(bench.status(), Status::Active);
    for _ in 0..5 {
        fail_at(&mut bench, "b");
    }
    assert_eq!(bench.status(), Status::Open);
}
