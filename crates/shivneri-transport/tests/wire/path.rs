use std::{sync::Arc, time::Duration};

use shivneri_core::{
    Answer, Attempt, Capabilities, Email, EmailProvider, Failure, Fault, Lookup, OnDoubt,
    ProviderId, Receipt, Scope, SendError,
};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use shivneri_transport::agent::Exit;
use tokio::task::JoinSet;

use uuid::Uuid;

use crate::{
    house::soon,
    raw,
    running::{Agent, Server, agent_options},
};

fn scripted() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_goes_out_at_the_agent_and_its_outcome_comes_back_and_is_acknowledged() {
    let (server, dir, provider) = (Server::start().await, tempfile::tempdir().unwrap(), scripted());
    let mut agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    assert_eq!((seat.window, seat.provider.kind()), (64, "scripted"));
    let email = mail(1);
    let attempt = seat.attempt(&email, OnDoubt::Resend);
    assert_eq!(server.attempt(&seat, &email, &attempt).await, "accepted");
    let call = &provider.calls()[0];
    assert_eq!((call.message, &call.recipients[..]), (email.id(), email.envelope().recipients()));
    assert_eq!(call.attempt.idempotency_key(), attempt.idempotency_key());
    assert_eq!(server.house.logged(attempt.id).end, Some("accepted"));
    agent.leave();
    assert_eq!(agent.left().await.unwrap(), Exit::Drained, "it was acknowledged");
    assert_eq!(server.house.logged(attempt.id).late, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_answers_at_the_agent_is_what_the_server_hears() {
    let (server, dir, provider) = (Server::start().await, tempfile::tempdir().unwrap(), scripted());
    let _agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    for failure in [
        Failure::Rejected(Scope::Message),
        Failure::Unsupported,
        Failure::AccountFault(Fault::Quota),
        Failure::Unavailable,
        // The last one: after it the agent sends nothing for as long.
        Failure::Throttled { retry_after: Some(Duration::from_secs(7)) },
    ] {
        let error = SendError::new(failure, "why").with_answer(Answer::new(422, "no"));
        provider.script([Step::Fail(error.clone())]);
        let email = mail(1);
        let attempt = seat.attempt(&email, OnDoubt::Resend);
        let heard = soon(seat.provider.send(&email, &attempt)).await.unwrap_err();
        assert_eq!(heard.failure(), error.failure());
        assert_eq!((heard.cause(), heard.answer()), (error.cause(), error.answer()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_never_exceeded_by_200_sends_at_once() {
    let (server, dir, provider) = (Server::start().await, tempfile::tempdir().unwrap(), scripted());
    provider.script((0..100).map(|_| Step::Delay(Duration::from_millis(5))));
    let mut options = agent_options(&server.url(), dir.path());
    options.window = 7;
    let _agent = Agent::start(provider.clone(), options);
    let seat = server.house.session("a", 0).await;
    let mut sends = JoinSet::new();
    for n in 0..200 {
        let (seat, email) = (seat.clone(), mail(n));
        sends.spawn(async move {
            let attempt = seat.attempt(&email, OnDoubt::Resend);
            let sent = seat.provider.send(&email, &attempt).await;
            sent.map_err(|error| error.word()).err().unwrap_or("accepted")
        });
    }
    let words = soon(sends.join_all()).await;
    let count = |word: &str| words.iter().filter(|one| **one == word).count();
    assert_eq!(count("accepted") + count("not_started"), 200);
    assert!(count("accepted") >= 7, "{words:?}");
    assert_eq!(provider.accepted().len(), count("accepted"));
    assert!(provider.peak_in_flight() <= 7, "{} at once", provider.peak_in_flight());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_look_ups_are_answered_by_the_agent() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let capabilities = Capabilities { lookup: true, ..Default::default() };
    let provider = Arc::new(ScriptedProvider::new("acme").with_capabilities(capabilities));
    let agent = Agent::start(provider.clone(), agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    soon(seat.provider.probe()).await.unwrap();
    let key = Failure::AccountFault(Fault::Key);
    provider.script_probes([Err(SendError::new(key.clone(), "revoked"))]);
    assert_eq!(soon(seat.provider.probe()).await.unwrap_err().failure(), &key);

    let (email, unsent) = (mail(1), mail(2));
    let attempt = seat.attempt(&email, OnDoubt::Resend);
    let receipt = soon(seat.provider.send(&email, &attempt)).await.unwrap();
    let found = soon(seat.provider.lookup(&attempt)).await.unwrap();
    assert_eq!(found, Lookup::Found(receipt));
    let missing = seat.attempt(&unsent, OnDoubt::Resend);
    assert_eq!(soon(seat.provider.lookup(&missing)).await.unwrap(), Lookup::NotFound);

    agent.kill().await;
    server.house.has_news("a closed").await;
    assert_eq!(soon(seat.provider.probe()).await.unwrap_err().word(), "not_started");
    assert_eq!(soon(seat.provider.lookup(&attempt)).await.unwrap_err().word(), "not_started");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_offers_what_all_its_agents_can_and_what_it_could_when_they_are_gone() {
    let server = Server::start().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let with = |max_bytes, idempotent| {
        let capabilities = Capabilities { max_bytes, idempotent, ..Default::default() };
        Arc::new(ScriptedProvider::new("acme").with_capabilities(capabilities))
    };
    let (wide, narrow) = (with(1000, true), with(500, false));
    let one = Agent::start(wide.clone(), agent_options(&server.url(), dirs[0].path()));
    let seat = server.house.session("a", 0).await;
    let sees = || {
        let capabilities = seat.provider.capabilities();
        (capabilities.max_bytes, capabilities.idempotent)
    };
    assert_eq!(sees(), (1000, true));
    let mut options = agent_options(&server.url(), dirs[1].path());
    options.agent = "b".parse().unwrap();
    let two = Agent::start(narrow, options);
    server.house.session("b", 0).await;
    assert_eq!(sees(), (500, false));
    two.kill().await;
    server.house.has_news("b closed").await;
    assert_eq!(sees(), (1000, true));
    wide.set_capabilities(Capabilities { max_bytes: 700, idempotent: true, ..Default::default() });
    server.house.has_news("a ready with 64").await;
    assert_eq!(sees(), (700, true));
    one.kill().await;
    server.house.has_news("a closed").await;
    assert_eq!(sees(), (700, true), "as it was last");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_offers_no_more_than_the_window_holds() {
    let server = Arc::new(Server::start().await);
    let narrow = crate::wire::Hello { window: 2, ..raw::hello("a", Uuid::new_v4()) };
    let mut raw = raw::Raw::join(&server.url(), narrow).await;
    let seat = server.house.session("a", 0).await;
    let sends = [1, 2].map(|_| server.start_attempt(&seat, OnDoubt::Resend).1);
    let offers = [raw.hears_offer().await, raw.hears_offer().await];
    let email = mail(3);
    let attempt = seat.attempt(&email, OnDoubt::Resend);
    let refused = soon(seat.provider.send(&email, &attempt)).await.unwrap_err();
    assert_eq!(refused.to_string(), "not_started: the agent's window is full");
    for offer in offers {
        raw.report(&offer.attempt.unwrap().id, raw::accepted()).await;
    }
    for sent in sends {
        assert_eq!(soon(sent).await.unwrap(), "accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_withdrawn_before_it_is_written_is_never_written() {
    let server = Arc::new(Server::start().await);
    let wide = crate::wire::Hello { window: 300, ..raw::hello("a", Uuid::new_v4()) };
    let mut raw = raw::Raw::join(&server.url(), wide).await;
    let seat = server.house.session("a", 0).await;
    // Enough to fill all that is between the queue and an agent that does not read.
    let sends: Vec<_> = (0..200).map(|_| server.start_large_attempt(&seat)).collect();
    server.house.has_attempts(200).await;
    let (id, last) = server.start_attempt(&seat, OnDoubt::Resend);
    server.house.has_attempts(201).await;
    last.abort();
    assert!(last.await.unwrap_err().is_cancelled());
    for _ in 0..200 {
        let attempt = raw.hears_offer().await.attempt.unwrap().id;
        assert_ne!(attempt, raw::bytes(id.as_uuid()));
        raw.report(&attempt, raw::accepted()).await;
    }
    for sent in sends {
        assert_eq!(soon(sent).await.unwrap(), "accepted");
    }
    // What is written next is the next offer.
    let (next, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    assert_eq!(attempt, raw::bytes(next.as_uuid()));
    raw.report(&attempt, raw::accepted()).await;
    assert_eq!(soon(sent).await.unwrap(), "accepted");
}

/// Breaks the contract in the worst way.
#[derive(Debug)]
struct Panicking(ScriptedProvider);

#[async_trait::async_trait]
impl EmailProvider for Panicking {
    fn id(&self) -> &ProviderId {
        self.0.id()
    }

    fn kind(&self) -> &str {
        self.0.kind()
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        self.0.capabilities()
    }

    async fn send(&self, email: &Email, _: &Attempt) -> Result<Receipt, SendError> {
        panic!("a bug, at {}", email.id());
    }

    async fn probe(&self) -> Result<(), SendError> {
        self.0.probe().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_panics_leaves_its_mail_in_doubt_and_the_agent_alive() {
    let (server, dir) = (Server::start().await, tempfile::tempdir().unwrap());
    let provider = Arc::new(Panicking(ScriptedProvider::new("acme")));
    let mut agent = Agent::start(provider, agent_options(&server.url(), dir.path()));
    let seat = server.house.session("a", 0).await;
    for n in 0..2 {
        assert_eq!(server.dispatch(&seat, &mail(n)).await, "in_doubt");
    }
    agent.leave();
    assert_eq!(agent.left().await.unwrap(), Exit::Drained);
}
