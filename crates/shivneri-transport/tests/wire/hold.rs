//! `hold`: nothing starts without the server's *go*.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use shivneri_core::{Clock, OnDoubt};
use shivneri_testkit::{ScriptedProvider, Step};
use shivneri_transport::HubOptions;
use uuid::Uuid;

use crate::{
    house::{House, soon},
    raw::{Raw, accepted, hello},
    running::{Agent, Server, agent_options, options},
    wire::{Ask, agent_frame::Frame, server_frame::Frame as Said},
};

fn scripted() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_attempt_is_sent_after_the_servers_go() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), scripted());
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    server.house.hold_go(true);
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Hold);
    server.house.go_asked(1).await;
    assert_eq!(provider.call_count(), 0);
    server.house.hold_go(false);
    assert_eq!(soon(sent).await.unwrap(), "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_epoch_says_no_go() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), scripted());
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    server.house.forbid_start();
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Hold);
    assert_eq!(soon(sent).await.unwrap(), "not_started");
    assert_eq!(provider.call_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn go_is_said_once_and_only_for_an_open_attempt() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Hold);
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    let ask = || Frame::Ask(Ask { attempt: attempt.clone() });
    raw.say(ask()).await;
    assert!(matches!(raw.hears().await, Some(Said::Go(go)) if go.attempt == attempt));
    raw.say(ask()).await;
    assert!(matches!(raw.hears().await, Some(Said::NoGo(_))));
    raw.report(&attempt, accepted()).await;
    assert_eq!(soon(sent).await.unwrap(), "accepted");
    assert!(matches!(raw.hears().await, Some(Said::Ack(_))));
    raw.say(ask()).await;
    assert!(matches!(raw.hears().await, Some(Said::NoGo(_))));
    // One that needs no go gets none either.
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    raw.say(Frame::Ask(Ask { attempt: attempt.clone() })).await;
    assert!(matches!(raw.hears().await, Some(Said::NoGo(_))));
    raw.report(&attempt, accepted()).await;
    assert_eq!(soon(sent).await.unwrap(), "accepted");
}

/// A server whose clock stands at a time that the test sets, in seconds from now.
async fn with_clock() -> (Arc<Server>, Arc<AtomicU64>, SystemTime) {
    let (base, passed) = (SystemTime::now(), Arc::new(AtomicU64::new(0)));
    let ahead = Arc::clone(&passed);
    let clock = Clock::new(move || base + Duration::from_secs(ahead.load(Ordering::SeqCst)));
    let options = HubOptions { clock, ..options() };
    let server = Server::with(House::new(), options, "127.0.0.1:0".parse().unwrap()).await;
    (Arc::new(server), passed, base)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_no_go_once_its_key_is_forgotten() {
    for (passed, is_told) in [(59, true), (60, false)] {
        let (server, clock, now) = with_clock().await;
        let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
        let seat = server.house.session("a", 0).await;
        let key_until = now + Duration::from_secs(60);
        let sent = server.start_repetition(&seat, OnDoubt::Hold, key_until);
        let attempt = raw.hears_offer().await.attempt.unwrap().id;
        clock.store(passed, Ordering::SeqCst);
        raw.say(Frame::Ask(Ask { attempt: attempt.clone() })).await;
        let told = matches!(raw.hears().await, Some(Said::Go(go)) if go.attempt == attempt);
        assert_eq!(told, is_told, "{passed} s");
        raw.report(&attempt, accepted()).await;
        assert_eq!(soon(sent).await.unwrap(), "accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_not_offered_once_its_key_is_forgotten() {
    for on_doubt in [OnDoubt::Hold, OnDoubt::Resend] {
        let (server, _clock, now) = with_clock().await;
        let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
        let seat = server.house.session("a", 0).await;
        let sent = server.start_repetition(&seat, on_doubt, now);
        assert_eq!(soon(sent).await.unwrap(), "not_started");
        // What is offered next is what the agent hears first.
        let (next, sent) = server.start_attempt(&seat, OnDoubt::Resend);
        let heard = raw.hears_offer().await.attempt.unwrap().id;
        assert_eq!(heard.as_ref(), next.as_uuid().as_bytes());
        raw.report(&heard, accepted()).await;
        assert_eq!(soon(sent).await.unwrap(), "accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_attempt_without_go_is_certainly_not_sent_when_its_agent_is_lost() {
    let server = Arc::new(Server::start().await);
    for (asks, word) in [(false, "not_started"), (true, "in_doubt")] {
        let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
        let generation = raw.welcome.generation;
        let seat = server.house.session("a", generation - 1).await;
        let (_, sent) = server.start_attempt(&seat, OnDoubt::Hold);
        let attempt = raw.hears_offer().await.attempt.unwrap().id;
        if asks {
            raw.say(Frame::Ask(Ask { attempt })).await;
            assert!(matches!(raw.hears().await, Some(Said::Go(_))));
        }
        drop(raw);
        assert_eq!(soon(sent).await.unwrap(), word);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_up_attempt_is_never_told_to_go() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), scripted());
    provider.script([Step::Accept]);
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    server.house.hold_go(true);
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Hold);
    server.house.go_asked(1).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    server.house.hold_go(false);
    assert_eq!(server.house.late(id).await, "not_started");
    assert_eq!(provider.call_count(), 0);
}
