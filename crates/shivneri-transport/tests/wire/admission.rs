use std::sync::Arc;

use shivneri_core::{EmailProvider, OnDoubt};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use shivneri_transport::agent::{AgentError, Exit, JournalError};
use tonic::Code;
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{Raw, hello},
    running::{Agent, Server, agent_options},
    wire::{Beat, agent_frame::Frame, server_frame::Frame as Said},
};

fn scripted() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_ends_the_agent_at_once_and_names_it() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    for (token, comes_in) in [(None, false), (Some("guess"), false), (Some("secret"), true)] {
        let mut options = agent_options(&server.url(), dir.path());
        options.agent = "guarded".parse().unwrap();
        options.token = token.map(Into::into);
        let mut agent = Agent::start(scripted(), options);
        if comes_in {
            server.house.session("guarded", 0).await;
            agent.leave();
            assert_eq!(agent.left().await.unwrap(), Exit::Drained);
        } else {
            let error = agent.left().await.unwrap_err();
            assert!(matches!(error, AgentError::Refused { .. }), "{error}");
            assert!(error.to_string().contains("agent guarded is not authenticated"), "{error}");
            assert!(!error.to_string().contains("guess"));
            assert!(server.house.news().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_than_the_accounts_is_refused_by_name() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let id = "acme".parse().unwrap();
    server.hub.provider(&id, "sendgrid", Default::default()).unwrap();
    let agent = Agent::start(scripted(), agent_options(&server.url(), dir.path()));
    let error = agent.left().await.unwrap_err().to_string();
    assert!(
        error.contains("provider acme is of kind sendgrid, agent a brings scripted"),
        "{error}"
    );
    assert!(server.hub.forget(&id), "no agent serves it");
    let _agent = Agent::start(scripted(), agent_options(&server.url(), dir.path()));
    server.house.session("a", 0).await;
    assert!(!server.hub.forget(&id), "an agent serves it");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_known_protocol_versions_are_welcomed() {
    let server = Server::start().await;
    for (protocol_min, protocol_max, spoken) in
        [(0, 0, None), (2, 9, None), (1, 1, Some(1)), (0, 1, Some(1)), (1, 9, Some(1))]
    {
        let offer = crate::wire::Hello { protocol_min, protocol_max, ..hello("a", Uuid::new_v4()) };
        match Raw::greet(&server.url(), offer).await {
            Ok(raw) => assert_eq!(Some(raw.welcome.protocol), spoken),
            Err(status) => {
                assert_eq!(spoken, None, "{status}");
                assert_eq!(status.code(), Code::FailedPrecondition);
                assert_eq!(status.metadata().get("shivneri-refusal").unwrap(), "protocol");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hello_gets_no_welcome() {
    let server = Server::start().await;
    let code = |result: Result<Raw, tonic::Status>| result.err().map(|status| status.code());
    let beat = Frame::Beat(Beat { seq: 1, in_flight: 0 });
    let invalid = Some(Code::InvalidArgument);
    assert_eq!(code(Raw::say_first(&server.url(), beat).await), invalid);
    let good = || hello("a", Uuid::new_v4());
    for bad in [
        crate::wire::Hello { agent: "a b".into(), ..good() },
        crate::wire::Hello { provider: String::new(), ..good() },
        crate::wire::Hello { journal: bytes::Bytes::from_static(b"short"), ..good() },
        crate::wire::Hello { window: 0, ..good() },
        crate::wire::Hello { kind: "two words".into(), ..good() },
    ] {
        assert_eq!(code(Raw::greet(&server.url(), bad).await), invalid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_there_from_its_agents_first_beat_on() {
    let server = Server::start().await;
    let raw = Raw::greet(&server.url(), hello("a", Uuid::new_v4())).await.unwrap();
    let other = Raw::join(&server.url(), hello("b", Uuid::new_v4())).await;
    server.house.session("b", 0).await;
    assert_eq!(server.house.news(), ["b opened"], "a has not beaten");
    raw.say(Frame::Beat(Beat { seq: 1, in_flight: 0 })).await;
    server.house.session("a", 0).await;
    drop(other);
    server.house.has_news("b closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_of_an_agent_takes_the_place_of_the_first() {
    let (server, provider) = (Server::start().await, scripted());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Agent::start(provider.clone(), agent_options(&server.url(), dirs[0].path()));
    let old = server.house.session("a", 0).await;
    let _second = Agent::start(provider.clone(), agent_options(&server.url(), dirs[1].path()));
    let new = server.house.session("a", old.session.generation).await;
    assert_eq!(first.left().await.unwrap(), Exit::Superseded);
    let email = mail(1);
    let attempt = old.attempt(&email, OnDoubt::Resend);
    let late = old.provider.send(&email, &attempt);
    assert_eq!(soon(late).await.unwrap_err().word(), "not_started", "its session is over");
    assert_eq!(server.dispatch(&new, &email).await, "accepted");
    assert_eq!(server.house.news(), ["a opened", "a closed", "a opened"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_agent_finishes_and_journals_what_it_had_begun() {
    let (server, provider) = (Arc::new(Server::start().await), scripted());
    provider.script([Step::Hang]);
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Agent::start(provider.clone(), agent_options(&server.url(), dirs[0].path()));
    let old = server.house.session("a", 0).await;
    let (id, sent) = server.start_attempt(&old, OnDoubt::Resend);
    soon(provider.called(1)).await;
    let other = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    provider.release();
    assert_eq!(first.left().await.unwrap(), Exit::Superseded);
    drop(other);
    let _again = Agent::start(provider.clone(), agent_options(&server.url(), dirs[0].path()));
    assert_eq!(server.house.late(id).await, "accepted", "its own journal has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_superseded_are_told_and_their_stream_is_closed() {
    let server = Server::start().await;
    let mut first = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let old = server.house.session("a", 0).await;
    let second = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    assert!(second.welcome.generation > old.session.generation);
    assert!(matches!(first.hears().await, Some(Said::Superseded(_))));
    assert_eq!(first.hears().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_owns_a_state_directory() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let _first = Agent::start(scripted(), agent_options(&server.url(), dir.path()));
    server.house.session("a", 0).await;
    let second = Agent::start(scripted(), agent_options(&server.url(), dir.path()));
    let error = second.left().await.unwrap_err();
    let AgentError::Journal(JournalError::InUse { pid, .. }) = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_for_its_server_and_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let (address, url) = (server.address, server.url());
    let house = server.kill().await;
    let _agent = Agent::start(scripted(), agent_options(&url, dir.path()));
    let server = Server::with(house, crate::running::options(), address).await;
    let seat = server.house.session("a", 0).await;
    assert_eq!(server.dispatch(&seat, &mail(1)).await, "accepted");
    assert_eq!(seat.provider.id().as_str(), "acme");
}
