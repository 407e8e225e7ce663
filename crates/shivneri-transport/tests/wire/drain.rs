use std::{sync::Arc, time::Duration};

use shivneri_core::OnDoubt;
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use shivneri_transport::agent::Exit;
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{Raw, accepted, hello},
    running::{Agent, Server, agent_options},
    wire::server_frame::Frame as Said,
};

fn hanging() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme").then(Step::Hang))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_agent_gives_back_what_it_has_not_started_and_finishes_the_rest() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let mut agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (_, running) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    server.house.hold_go(true);
    let (_, waiting) = server.start_attempt(&seat, OnDoubt::Hold);
    server.house.go_asked(1).await;
    agent.leave();
    assert_eq!(soon(waiting).await.unwrap(), "not_started");
    server.house.has_news("a draining").await;
    assert_eq!(server.dispatch(&seat, &mail(9)).await, "not_started", "it takes nothing new");
    assert!(!running.is_finished());
    provider.release();
    assert_eq!(soon(running).await.unwrap(), "accepted");
    assert_eq!(agent.left().await.unwrap(), Exit::Drained);
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_is_cut_short_and_says_so() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let mut options = agent_options(&server.url(), dir.path());
    options.drain = Duration::from_millis(50);
    let mut agent = Agent::start(provider.clone(), options);
    let seat = server.house.session("a", 0).await;
    let (_, running) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    agent.leave();
    let exit = agent.left().await.unwrap();
    assert_eq!(exit, Exit::CutShort { running: 1, unacknowledged: 0 });
    assert_eq!(soon(running).await.unwrap(), "in_doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_server_leaves_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let url = server.url();
    server.kill().await;
    let mut agent = Agent::start(hanging(), agent_options(&url, dir.path()));
    agent.leave();
    assert_eq!(agent.left().await.unwrap(), Exit::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_waits_for_what_its_agents_have_begun() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (_, running) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    server.begin_stop();
    while server.dispatch(&seat, &mail(2)).await != "not_started" {}
    assert_eq!(server.house.news(), ["a opened"], "it is still there");
    provider.release();
    assert_eq!(soon(running).await.unwrap(), "accepted");
    server.house.has_news("a closed").await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_drain_gives_back_what_has_not_begun() {
    let (server, dir) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme"));
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let mut raw = Raw::join(&server.url(), hello("b", Uuid::new_v4())).await;
    let (a, b) = (server.house.session("a", 0).await, server.house.session("b", 0).await);
    server.house.hold_go(true);
    let (_, waiting) = server.start_attempt(&a, OnDoubt::Hold);
    server.house.go_asked(1).await;
    let (_, running) = server.start_attempt(&b, OnDoubt::Resend);
    let offer = raw.hears_offer().await;
    server.begin_stop();
    assert!(matches!(raw.hears().await, Some(Said::Drain(_))));
    assert_eq!(soon(waiting).await.unwrap(), "not_started");
    raw.report(&offer.attempt.unwrap().id, accepted()).await;
    assert_eq!(soon(running).await.unwrap(), "accepted");
    server.stopped().await;
    assert_eq!(provider.call_count(), 0);
}
