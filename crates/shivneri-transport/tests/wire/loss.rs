use std::{sync::Arc, time::Duration};

use shivneri_core::{EmailProvider, OnDoubt};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use shivneri_transport::HubOptions;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    house::{House, soon},
    proxy::Proxy,
    raw::{Raw, accepted, hello},
    running::{Agent, Server, agent_options, options},
    wire::{Beat, agent_frame::Frame},
};

fn hanging() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme").then(Step::Hang))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_what_it_had_begun_in_doubt_at_once() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    agent.kill().await;
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    assert_eq!(server.house.logged(id).end, Some("in_doubt"));
    assert!(server.house.news().contains(&"a closed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_came_while_the_connection_was_cut_is_told_over_the_next_one() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let proxy = Proxy::to(server.address).await;
    let mut agent = Agent::start(provider.clone(), agent_options(&proxy.url, dir.path()));
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    proxy.cut();
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    provider.release();
    assert_eq!(server.house.late(id).await, "accepted");
    let again = server.house.session("a", seat.session.generation).await;
    assert_eq!(again.session.journal, seat.session.journal);
    agent.leave();
    assert_eq!(agent.left().await.unwrap().to_string(), "drained", "it was acknowledged");
    assert_eq!(provider.accepted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_from_before_the_cut_takes_its_place_in_the_window_after_it() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let proxy = Proxy::to(server.address).await;
    let mut options = agent_options(&proxy.url, dir.path());
    options.window = 1;
    let _agent = Agent::start(provider.clone(), options);
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    proxy.cut();
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    let seat = server.house.session("a", seat.session.generation).await;
    assert_eq!(seat.window, 0, "nothing is sent there that would only come back");
    let email = mail(2);
    let attempt = seat.attempt(&email, OnDoubt::Resend);
    let refused = soon(seat.provider.send(&email, &attempt)).await.unwrap_err();
    assert_eq!(refused.to_string(), "not_started: the agent's window is full");
    provider.release();
    assert_eq!(server.house.late(id).await, "accepted");
    server.house.has_news("a ready with 1").await;
    assert_eq!(server.dispatch(&seat, &mail(3)).await, "accepted");
}

/// Offers that an agent never read stay in the server's queue once the connection's buffers are
/// full.
#[tokio::test(flavor = "multi_thread")]
async fn offers_that_were_never_written_are_not_started_and_the_others_in_doubt() {
    let server = Arc::new(Server::start().await);
    let window = 200;
    let deaf = crate::wire::Hello { window, ..hello("a", Uuid::new_v4()) };
    let raw = Raw::join(&server.url(), deaf).await;
    let seat = server.house.session("a", 0).await;
    let mut sends = JoinSet::new();
    for _ in 0..window {
        let sent = server.start_large_attempt(&seat);
        sends.spawn(async move { sent.await.unwrap() });
    }
    server.house.has_attempts(window as usize).await;
    drop(raw);
    let words = soon(sends.join_all()).await;
    let count = |word: &str| words.iter().filter(|one| **one == word).count();
    assert_eq!(count("not_started") + count("in_doubt"), window as usize);
    // The buffers on the way take some, and far from all.
    assert!(count("in_doubt") > 0 && count("not_started") > 100, "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_falls_silent_is_given_up() {
    let silence = Duration::from_millis(400);
    let options = HubOptions { silence, ..options() };
    let server =
        Arc::new(Server::with(House::new(), options, "127.0.0.1:0".parse().unwrap()).await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    raw.hears_offer().await;
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    assert_eq!(server.house.news(), ["a opened", "a closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_keeps_an_attempt_too_long_is_waited_for_only_so_long() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    let email = mail(1);
    let mut attempt = seat.attempt(&email, OnDoubt::Resend);
    attempt.timeout = Duration::from_millis(100);
    let (running, at) = (Arc::clone(&server), seat.clone());
    let sent = tokio::spawn({
        let (email, attempt) = (email.clone(), attempt.clone());
        async move { running.attempt(&at, &email, &attempt).await }
    });
    let offer = raw.hears_offer().await;
    assert!(offer.validity_ms <= 50, "half of the time at most");
    let mut seq = 1;
    let mut sent = sent;
    let word = loop {
        seq += 1;
        raw.say(Frame::Beat(Beat { seq, in_flight: 1 })).await;
        tokio::select! {
            word = &mut sent => break word.unwrap(),
            () = server.house.has_beats(seq as usize) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(word, "in_doubt");
    // The offer still takes a place until the agent has said its word, which then is late.
    raw.report(&offer.attempt.unwrap().id, accepted()).await;
    assert_eq!(server.house.late(attempt.id).await, "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_nobody_waits_for_any_more_is_told_late() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    provider.release();
    assert_eq!(server.house.late(id).await, "accepted");
    assert_eq!(server.house.logged(id).end, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_goes_to_the_session_it_names_and_to_no_other() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme"));
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let email = mail(1);
    let right = seat.attempt(&email, OnDoubt::Resend);
    let mut other_journal = seat.session.clone();
    other_journal.journal = Uuid::new_v4();
    let mut older = seat.session.clone();
    older.generation -= 1;
    for session in [None, Some(other_journal), Some(older)] {
        let attempt = shivneri_core::Attempt { session, ..right.clone() };
        let refused = soon(seat.provider.send(&email, &attempt)).await.unwrap_err();
        assert_eq!(refused.word(), "not_started", "{:?}", attempt.session);
    }
    assert_eq!(provider.call_count(), 0);
}
