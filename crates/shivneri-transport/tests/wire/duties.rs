//! What an agent owes any server, Shivneri's own or not.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use shivneri_core::{Failure, OnDoubt};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    bare::{Bare, offer},
    house::soon,
    running::{Agent, agent_options},
    wire::{
        Ack, Drain, Go, NoGo, agent_frame::Frame as Said, failure::Kind, journal_entry::State,
        server_frame::Frame,
    },
};

const DATA: Uuid = Uuid::from_u128(7);

async fn served(provider: &Arc<ScriptedProvider>, window: u32) -> (Bare, Agent, tempfile::TempDir) {
    let (bare, dir) = (Bare::start().await, tempfile::tempdir().unwrap());
    let mut options = agent_options(&bare.url, dir.path());
    options.window = window;
    let agent = Agent::start(Arc::clone(provider) as _, options);
    (bare, agent, dir)
}

fn scripted() -> Arc<ScriptedProvider> {
    Arc::new(ScriptedProvider::new("acme"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_keeps_to_its_window_even_if_the_server_does_not() {
    let provider = scripted();
    provider.otherwise(Step::Hang);
    let (mut bare, _agent, _dir) = served(&provider, 2).await;
    let mut session = bare.welcomes(DATA).await;
    let mut open = HashSet::new();
    for n in 0..20 {
        open.insert(session.offers(&mail(n), OnDoubt::Resend).await);
    }
    soon(provider.called(2)).await;
    provider.otherwise(Step::Accept);
    provider.release();
    while !open.is_empty() {
        let (attempt, failure) = session.hears_report().await;
        assert_eq!(failure, None);
        open.remove(&attempt);
    }
    assert_eq!(provider.peak_in_flight(), 2);
    assert_eq!(provider.accepted().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_lapsed_is_given_back() {
    let provider = scripted().then_hang();
    let (mut bare, _agent, _dir) = served(&provider, 1).await;
    let mut session = bare.welcomes(DATA).await;
    session.offers(&mail(1), OnDoubt::Resend).await;
    soon(provider.called(1)).await;
    let mut short = offer(&mail(2), OnDoubt::Resend);
    short.validity_ms = 30;
    let id = short.attempt.clone().unwrap().id;
    session.say(Frame::Offer(short)).await;
    let failure = session.hears_report_of(&id).await.unwrap();
    assert_eq!(failure.kind(), Kind::NotStarted);
    assert!(failure.detail.contains("lapsed"), "{}", failure.detail);
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_and_a_withdrawal_bring_offers_back_at_once() {
    let provider = scripted();
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let mut session = bare.welcomes(DATA).await;
    let [one, two] = [
        session.offers(&mail(1), OnDoubt::Hold).await,
        session.offers(&mail(2), OnDoubt::Hold).await,
    ];
    for _ in 0..2 {
        assert!(matches!(session.hears().await, Some(Said::Ask(_))));
    }
    session.say(Frame::NoGo(NoGo { attempt: one.clone() })).await;
    let (attempt, failure) = session.hears_report().await;
    assert_eq!((attempt, failure.unwrap().detail), (one, "the server withdrew the offer".into()));
    session.say(Frame::Drain(Drain {})).await;
    let (attempt, failure) = session.hears_report().await;
    assert_eq!((attempt, failure.unwrap().detail), (two, "the agent is draining".into()));
    session.offers(&mail(3), OnDoubt::Resend).await;
    assert_eq!(session.hears_report().await.1.unwrap().kind(), Kind::NotStarted);
    assert_eq!(provider.call_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_offered_twice_is_sent_once() {
    let provider = scripted();
    provider.otherwise(Step::Hang);
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let mut session = bare.welcomes(DATA).await;
    let twice = offer(&mail(1), OnDoubt::Resend);
    session.say(Frame::Offer(twice.clone())).await;
    soon(provider.called(1)).await;
    session.say(Frame::Offer(twice.clone())).await;
    let other = session.offers(&mail(2), OnDoubt::Resend).await;
    soon(provider.called(2)).await;
    provider.otherwise(Step::Accept);
    provider.release();
    let mut open = HashSet::from([other, twice.attempt.unwrap().id]);
    while !open.is_empty() {
        let (attempt, failure) = session.hears_report().await;
        assert_eq!(failure, None);
        open.remove(&attempt);
    }
    let messages: HashSet<_> = provider.calls().iter().map(|call| call.message).collect();
    assert_eq!((provider.call_count(), messages.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_that_is_not_what_the_offer_says_is_never_sent() {
    let provider = scripted();
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let mut session = bare.welcomes(DATA).await;
    let good = || offer(&mail(1), OnDoubt::Resend);
    let mut unreadable = good();
    unreadable.body = Some(Bytes::from_static(b"\xff\xff"));
    let mut huge = good();
    (huge.body, huge.body_size) = (None, 1 << 40);
    // The bare server's bodies are as long as the attempt's last byte says.
    let of_length = |last: u8, body_size| {
        let mut offer = good();
        let attempt = offer.attempt.as_mut().unwrap();
        let mut id = attempt.id.to_vec();
        id[15] = last;
        attempt.id = id.into();
        (offer.body, offer.body_size) = (None, body_size);
        offer
    };
    let mut elsewhere = good();
    elsewhere.attempt.as_mut().unwrap().idempotency_key.push('x');
    for (case, offer, kind) in [
        ("unreadable", unreadable, Kind::Unsupported),
        ("huge", huge, Kind::Unsupported),
        ("longer", of_length(20, 19), Kind::NotStarted),
        ("shorter", of_length(20, 21), Kind::NotStarted),
        ("not an email", of_length(20, 20), Kind::Unsupported),
        ("another account's", elsewhere, Kind::NotStarted),
    ] {
        session.say(Frame::Offer(offer)).await;
        let failure = session.hears_report().await.1.unwrap();
        assert_eq!(failure.kind(), kind, "{case}: {}", failure.detail);
    }
    assert_eq!(provider.call_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_is_reported_at_once_over_the_next_connection() {
    let provider = scripted();
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let mut session = bare.welcomes(DATA).await;
    let id = session.offers(&mail(1), OnDoubt::Resend).await;
    assert_eq!(session.hears_report().await, (id.clone(), None));
    drop(session);
    let mut session = bare.welcomes(DATA).await;
    let welcomed = Instant::now();
    let [entry] = &session.hello.entries[..] else { panic!("{:?}", session.hello.entries) };
    assert_eq!((entry.attempt.clone(), entry.state()), (id.clone(), State::Ended));
    assert_eq!(session.hears_report().await, (id.clone(), None));
    assert!(welcomed.elapsed() < Duration::from_secs(4), "not as a repetition");
    session.say(Frame::Ack(Ack { attempt: id, forget: true })).await;
    // An answer after the acknowledgement shows that it was read.
    session.say(Frame::Offer(offer(&mail(2), OnDoubt::Hold))).await;
    assert!(matches!(session.hears().await, Some(Said::Ask(_))));
    drop(session);
    let session = bare.welcomes(DATA).await;
    assert_eq!(session.hello.entries, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_an_acknowledgement_is_repeated() {
    let (provider, mut bare, dir) = (scripted(), Bare::start().await, tempfile::tempdir().unwrap());
    let mut options = agent_options(&bare.url, dir.path());
    options.report_again = Duration::from_millis(50);
    let _agent = Agent::start(Arc::clone(&provider) as _, options);
    let mut session = bare.welcomes(DATA).await;
    let id = session.offers(&mail(1), OnDoubt::Resend).await;
    for _ in 0..4 {
        assert_eq!(session.hears_report().await, (id.clone(), None));
    }
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_server_data_is_met_with_a_new_journal_at_once() {
    let provider = scripted();
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let first = bare.welcomes(DATA).await;
    assert_eq!(first.hello.incarnation, Bytes::new());
    let journal = first.hello.journal.clone();
    drop(first);
    let restored = Uuid::from_u128(8);
    let second = bare.welcomes(restored).await;
    assert_eq!(
        (&second.hello.journal, &second.hello.incarnation[..]),
        (&journal, &DATA.as_bytes()[..])
    );
    let third = bare.welcomes(restored).await;
    assert_ne!(third.hello.journal, journal);
    assert_eq!(third.hello.incarnation[..], restored.as_bytes()[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_offered_over_a_lost_connection_never_starts() {
    let provider = scripted();
    let (mut bare, _agent, _dir) = served(&provider, 8).await;
    let mut session = bare.welcomes(DATA).await;
    let id = session.offers(&mail(1), OnDoubt::Hold).await;
    assert!(matches!(session.hears().await, Some(Said::Ask(_))));
    drop(session);
    let mut session = bare.welcomes(DATA).await;
    assert_eq!(session.hello.entries, []);
    session.say(Frame::Go(Go { attempt: id })).await;
    let other = session.offers(&mail(2), OnDoubt::Resend).await;
    assert_eq!(session.hears_report_of(&other).await, None);
    assert_eq!(provider.call_count(), 1, "the second one only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_provider_asks_for_brings_earlier_offers_back() {
    let provider = scripted();
    provider.script([Step::Hang, pause(None)]);
    let (mut bare, _agent, _dir) = served(&provider, 2).await;
    let mut session = bare.welcomes(DATA).await;
    let first = session.offers(&mail(1), OnDoubt::Resend).await;
    soon(provider.called(1)).await;
    let early = session.offers(&mail(2), OnDoubt::Hold).await;
    assert!(matches!(session.hears().await, Some(Said::Ask(_))), "it has come in");
    provider.release();
    assert_eq!(session.hears_report_of(&first).await.unwrap().kind(), Kind::Throttled);
    session.say(Frame::Go(Go { attempt: early.clone() })).await;
    let failure = session.hears_report_of(&early).await.unwrap();
    assert_eq!(failure.kind(), Kind::NotStarted);
    assert_eq!(provider.call_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_comes_within_the_pause_is_given_back_and_one_after_it_is_sent() {
    let longer = Duration::from_millis(1500);
    for (asked, at_least) in [(None, Duration::from_secs(1)), (Some(longer), longer)] {
        let provider = scripted();
        provider.script([pause(asked)]);
        let (mut bare, _agent, _dir) = served(&provider, 2).await;
        let mut session = bare.welcomes(DATA).await;
        let first = session.offers(&mail(1), OnDoubt::Resend).await;
        assert_eq!(session.hears_report_of(&first).await.unwrap().kind(), Kind::Throttled);
        // A server far away has not heard of it yet, and goes on offering.
        let mut ticker = tokio::time::interval(Duration::from_millis(50));
        let mut given_back = 0;
        for n in 2.. {
            let id = session.offers(&mail(n), OnDoubt::Resend).await;
            let Some(failure) = session.hears_report_of(&id).await else { break };
            assert_eq!(failure.kind(), Kind::NotStarted);
            assert_eq!(failure.detail, "the provider asked for a pause");
            given_back += 1;
            ticker.tick().await;
        }
        let calls = provider.calls();
        let [throttled, sent] = &calls[..] else { panic!("{} calls", calls.len()) };
        let after = sent.at.duration_since(throttled.at);
        assert!(given_back > 0 && after >= at_least, "asked for {asked:?}, called after {after:?}");
    }
}

fn pause(retry_after: Option<Duration>) -> Step {
    Step::fail(Failure::Throttled { retry_after })
}

/// A provider whose first call waits.
trait ThenHang {
    fn then_hang(self) -> Self;
}

impl ThenHang for Arc<ScriptedProvider> {
    fn then_hang(self) -> Self {
        self.script([Step::Hang]);
        self
    }
}
