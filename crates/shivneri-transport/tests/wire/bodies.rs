use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use shivneri_core::OnDoubt;
use shivneri_testkit::{ScriptedProvider, mail::mail_of_size};
use tonic::{Code, transport::Endpoint};
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{Raw, accepted, bytes, hello},
    running::{Agent, Server, agent_options},
    wire::{BodyRequest, agents_client::AgentsClient},
};

const LARGE: usize = 25 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_email_of_25_mib_passes() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme"));
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let email = mail_of_size(LARGE);
    assert_eq!(server.dispatch(&seat, &email).await, "accepted");
    assert_eq!(provider.accepted(), [email.id()]);
}

/// The agent reads a body as slowly as the test wants; meanwhile beats come and a small email
/// goes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_in_transfer_delays_neither_beats_nor_other_mail() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    let sending = tokio::spawn({
        let (server, seat) = (Arc::clone(&server), seat.clone());
        async move { server.dispatch(&seat, &mail_of_size(LARGE)).await }
    });
    let offer = raw.hears_offer().await;
    assert_eq!(offer.body, None, "large bodies are fetched");
    let attempt = offer.attempt.unwrap().id;
    let endpoint = Endpoint::from_shared(server.url()).unwrap();
    let mut bodies = AgentsClient::new(soon(endpoint.connect()).await.unwrap());
    let request = BodyRequest { session: raw.welcome.session.clone(), attempt: attempt.clone() };
    let mut chunks = soon(bodies.body(request)).await.unwrap().into_inner();
    let first = soon(chunks.message()).await.unwrap().unwrap();
    assert!(first.content.len() <= 64 << 10);
    // In the middle of the transfer.
    let mut got = first.content.len();
    for seq in 2..12 {
        raw.say(crate::wire::agent_frame::Frame::Beat(crate::wire::Beat { seq, in_flight: 1 }))
            .await;
        server.house.has_beats(seq as usize).await;
    }
    let (_, small) = server.start_attempt(&seat, OnDoubt::Resend);
    let other = raw.hears_offer().await;
    assert!(other.body.is_some(), "small bodies travel with the offer");
    raw.report(&other.attempt.unwrap().id, accepted()).await;
    assert_eq!(soon(small).await.unwrap(), "accepted");
    while let Some(chunk) = soon(chunks.message()).await.unwrap() {
        got += chunk.content.len();
    }
    assert_eq!(got as u64, offer.body_size);
    raw.report(&attempt, accepted()).await;
    assert_eq!(soon(sending).await.unwrap(), "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_beats_go_on_while_it_fetches_25_mib() {
    let (server, dir) = (Arc::new(Server::start().await), tempfile::tempdir().unwrap());
    let provider = Arc::new(ScriptedProvider::new("acme"));
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    let mut gaps = Vec::new();
    let sending = async {
        for _ in 0..8 {
            assert_eq!(server.dispatch(&seat, &mail_of_size(LARGE)).await, "accepted");
        }
    };
    let watching = async {
        let mut last = tokio::time::Instant::now();
        for beat in server.house.beats() + 1.. {
            server.house.has_beats(beat).await;
            let now = tokio::time::Instant::now();
            gaps.push(now - last);
            last = now;
        }
    };
    tokio::select! {
        () = sending => {}
        () = watching => {}
    }
    // Beats come every 50 ms; a second of silence would make the agent suspect.
    let longest = gaps.iter().max().copied().unwrap_or_default();
    assert!(gaps.len() > 3 && longest < Duration::from_secs(1), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_given_only_to_the_session_it_was_offered_to() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    let sending = tokio::spawn({
        let (server, seat) = (Arc::clone(&server), seat.clone());
        async move { server.dispatch(&seat, &mail_of_size(100_000)).await }
    });
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    let other = Raw::join(&server.url(), hello("b", Uuid::new_v4())).await;
    let endpoint = Endpoint::from_shared(server.url()).unwrap();
    let mut bodies = AgentsClient::new(soon(endpoint.connect()).await.unwrap());
    let mine = raw.welcome.session.clone();
    for (session, attempt, code) in [
        (other.welcome.session.clone(), attempt.clone(), Code::NotFound),
        (bytes(&Uuid::new_v4()), attempt.clone(), Code::NotFound),
        (mine.clone(), bytes(&Uuid::new_v4()), Code::NotFound),
        (Bytes::from_static(b"no"), attempt.clone(), Code::InvalidArgument),
    ] {
        let request = BodyRequest { session, attempt };
        assert_eq!(soon(bodies.body(request)).await.unwrap_err().code(), code);
    }
    raw.report(&attempt, accepted()).await;
    assert_eq!(soon(sending).await.unwrap(), "accepted");
    let request = BodyRequest { session: mine, attempt };
    assert_eq!(soon(bodies.body(request)).await.unwrap_err().code(), Code::NotFound, "it is over");
}
