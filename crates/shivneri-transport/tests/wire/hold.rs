//! `hold`: nothing starts without the server's *go*.

use std::sync::Arc;

use shivneri_core::OnDoubt;
use shivneri_testkit::{ScriptedProvider, Step};
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{Raw, accepted, hello},
    running::{Agent, Server, agent_options},
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
