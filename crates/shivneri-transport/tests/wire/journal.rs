//! What journals prove after a loss.

use std::sync::Arc;

use shivneri_core::{Attempt, AttemptId, OnDoubt};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{Raw, accepted, bytes, entry, failed, hello},
    running::{Agent, Server, agent_options, options},
    wire::{Hello, failure::Kind, journal_entry::State, server_frame::Frame as Said},
};

fn hanging() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme").then(Step::Hang))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_says_that_what_it_had_begun_is_in_doubt() {
    let (server, dir, provider) =
        (Arc::new(Server::start().await), tempfile::tempdir().unwrap(), hanging());
    let agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    agent.kill().await;
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    let _agent = Agent::start(provider, agent_options(&server.url(), dir.path()));
    assert_eq!(server.house.late(id).await, "in_doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_hears_every_end_that_it_had_not_committed() {
    let (server, dir) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme").then(Step::Hang));
    let mut agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let (running, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.called(1)).await;
    server.house.hold_commits(true);
    let (uncommitted, other) = server.start_attempt(&seat, OnDoubt::Resend);
    soon(provider.has_accepted(1)).await;
    sent.abort();
    other.abort();
    let (sent, other) = (sent.await, other.await);
    assert!(sent.is_err() && other.is_err());
    let address = server.address;
    let house = Arc::into_inner(server).unwrap().kill().await;
    provider.release();
    soon(provider.has_accepted(2)).await;
    let server = Server::with(house, options(), address).await;
    for id in [running, uncommitted] {
        assert_eq!(server.house.late(id).await, "accepted");
    }
    agent.leave();
    assert_eq!(agent.left().await.unwrap().to_string(), "drained");
}

/// An attempt that was offered in generation `generation` to `journal`.
fn earlier(journal: Uuid, generation: u64) -> Attempt {
    let session = shivneri_core::AgentSession { agent: "a".parse().unwrap(), generation, journal };
    Attempt { session: Some(session), ..Attempt::single(&mail(1), "acme".parse().unwrap()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn absence_from_the_same_journal_proves_that_an_attempt_was_not_started() {
    let server = Server::start().await;
    let journal = Uuid::new_v4();
    let mut raw = Raw::join(&server.url(), hello("a", journal)).await;
    let seat = server.house.session("a", 0).await;
    let server = Arc::new(server);
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    raw.hears_offer().await;
    drop(raw);
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    let _raw = Raw::join(&server.url(), hello("a", journal)).await;
    assert_eq!(server.house.late(id).await, "not_started");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_proves_it() {
    let server = Server::start().await;
    let journal = Uuid::new_v4();
    let cases: [(&str, Attempt, Hello); 4] = {
        let [listed, elsewhere, restored, newer] = [
            earlier(journal, 0),
            earlier(Uuid::new_v4(), 0),
            earlier(journal, 0),
            earlier(journal, 99),
        ];
        let entries = |attempt: &Attempt| vec![entry(attempt.id, State::Started)];
        [
            (
                "it is listed",
                listed.clone(),
                Hello { entries: entries(&listed), ..hello("a", journal) },
            ),
            ("another journal", elsewhere, hello("a", journal)),
            (
                "other data",
                restored,
                Hello { incarnation: bytes(&Uuid::new_v4()), ..hello("a", journal) },
            ),
            ("a session to come", newer, hello("a", journal)),
        ]
    };
    for (case, attempt, greeting) in cases {
        server.house.remember(&attempt);
        // One that is proven by the same Hello, where anything is, shows that it was compared.
        let control = earlier(journal, 0);
        server.house.remember(&control);
        let mut raw = Raw::join(&server.url(), greeting).await;
        if case == "other data" {
            // Nothing at all is settled: what comes after it in the same queue has been done.
            let report = control.id.as_uuid();
            raw.report(&bytes(report), accepted()).await;
            assert!(matches!(raw.hears().await, Some(Said::Ack(_))));
        } else {
            assert_eq!(server.house.late(control.id).await, "not_started");
        }
        assert_eq!(server.house.logged(attempt.id).late, Vec::<&str>::new(), "{case}");
        server.house.forget(attempt.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_reported_as_in_doubt_it_must_keep_and_its_keeping_proves_nothing() {
    let server = Arc::new(Server::start().await);
    let journal = Uuid::new_v4();
    let mut raw = Raw::join(&server.url(), hello("a", journal)).await;
    let seat = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let offer = raw.hears_offer().await;
    raw.report(&offer.attempt.unwrap().id, failed(Kind::InDoubtStrong)).await;
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    let Some(Said::Ack(ack)) = raw.hears().await else { panic!("no acknowledgement") };
    assert!(!ack.forget);
    drop(raw);
    // Still unsettled: it stays. Settled or purged: it may go.
    let settled = AttemptId::new();
    let entries = vec![entry(id, State::Kept), entry(settled, State::Kept)];
    let mut raw = Raw::join(&server.url(), Hello { entries, ..hello("a", journal) }).await;
    let Some(Said::Ack(ack)) = raw.hears().await else { panic!("no acknowledgement") };
    assert_eq!((ack.attempt, ack.forget), (bytes(settled.as_uuid()), true));
    assert_eq!(server.house.logged(id).late, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_agent_keeps_its_doubtful_attempts_through_a_restart() {
    let (server, dir) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let doubt = shivneri_core::Failure::InDoubt(shivneri_core::Doubt::Weak);
    let provider = Arc::new(ScriptedProvider::new("acme").then(Step::fail(doubt)));
    let mut doubtful = None;
    for generation in 0..3 {
        let mut agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
        let seat = server.house.session("a", generation).await;
        if generation == 0 {
            let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
            assert_eq!(soon(sent).await.unwrap(), "in_doubt");
            doubtful = Some(id);
        } else {
            // By the time a dispatch has gone through, the journals were compared.
            assert_eq!(server.dispatch(&seat, &mail(generation)).await, "accepted");
        }
        agent.leave();
        assert_eq!(agent.left().await.unwrap().to_string(), "drained");
    }
    assert_eq!(
        server.house.logged(doubtful.unwrap()).late,
        Vec::<&str>::new(),
        "it was never taken for not started"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_data_makes_the_agent_begin_a_new_journal() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme"));
    let _agent = Agent::start(provider, agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let address = server.address;
    let house = server.kill().await;
    house.remember(&earlier(seat.session.journal, 0));
    let mut restored = options();
    restored.incarnation = Uuid::from_u128(8);
    let server = Server::with(house, restored, address).await;
    let again = server.house.session("a", seat.session.generation).await;
    assert_ne!(again.session.journal, seat.session.journal);
    assert_eq!(server.dispatch(&again, &mail(1)).await, "accepted");
}
