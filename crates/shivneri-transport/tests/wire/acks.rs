//! An outcome is acknowledged once it is committed, and no sooner.

use std::sync::Arc;

use shivneri_core::OnDoubt;
use uuid::Uuid;

use crate::{
    house::soon,
    raw::{self, Raw, accepted, entry, hello},
    running::{Seat, Server},
    wire::server_frame::Frame as Said,
    wire::{self, Ask, Beat, Hello, ProbeReport, agent_frame::Frame, journal_entry::State},
};

/// Puts a question to the agent: it comes after all that the reports before could have caused, and
/// there must be nothing of that.
async fn hears_nothing(server: &Arc<Server>, seat: &Seat, raw: &mut Raw) {
    server.house.has_beats(1).await;
    let probing = tokio::spawn({
        let provider = Arc::clone(&seat.provider);
        async move { shivneri_core::EmailProvider::probe(&*provider).await }
    });
    let Some(Said::ProbeRequest(probe)) = raw.hears().await else { panic!("not the probe") };
    raw.say(Frame::ProbeReport(ProbeReport { id: probe.id, failure: None })).await;
    soon(probing).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_acknowledged_only_after_its_commit() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    server.house.hold_commits(true);
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let offer = raw.hears_offer().await;
    let attempt = offer.attempt.unwrap().id;
    // Said twice: the second waits for the same commit.
    raw.report(&attempt, accepted()).await;
    raw.report(&attempt, accepted()).await;
    hears_nothing(&server, &seat, &mut raw).await;
    assert_eq!(server.house.logged(id).end, None);
    server.house.hold_commits(false);
    let Some(Said::Ack(ack)) = raw.hears().await else { panic!("no acknowledgement") };
    assert_eq!((ack.attempt, ack.forget), (attempt, true));
    assert_eq!(soon(sent).await.unwrap(), "accepted");
    assert_eq!(server.house.logged(id).late, Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_committed_is_not_acknowledged_until_it_is() {
    let server = Arc::new(Server::start().await);
    let mut raw = Raw::join(&server.url(), hello("a", Uuid::new_v4())).await;
    let seat = server.house.session("a", 0).await;
    server.house.fail_commits(2);
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    raw.report(&attempt, accepted()).await;
    assert_eq!(soon(sent).await.unwrap(), "accepted");
    assert_eq!(server.house.logged(id).end, None, "the commit failed");
    hears_nothing(&server, &seat, &mut raw).await;
    // The first repetition fails as well, the next is committed and answered.
    raw.report(&attempt, accepted()).await;
    server.house.failures_left(0).await;
    raw.report(&attempt, accepted()).await;
    let Some(Said::Ack(ack)) = raw.hears().await else { panic!("no acknowledgement") };
    assert_eq!(ack.attempt, attempt);
    assert_eq!(server.house.logged(id).late, ["accepted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_that_overtakes_the_commit_of_a_doubt_waits_for_it() {
    let server = Arc::new(Server::start().await);
    let journal = Uuid::new_v4();
    let mut raw = Raw::join(&server.url(), hello("a", journal)).await;
    let seat = server.house.session("a", 0).await;
    server.house.hold_commits(true);
    let (id, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let attempt = raw.hears_offer().await.attempt.unwrap().id;
    server.house.has_beats(1).await;
    drop(raw);
    server.house.has_news("a closed").await;
    // Back before the doubt is committed, with the truth.
    let entries = vec![entry(id, State::Ended)];
    let mut raw = Raw::join(&server.url(), Hello { entries, ..hello("a", journal) }).await;
    raw.report(&attempt, accepted()).await;
    raw.say(Frame::Beat(Beat { seq: 2, in_flight: 0 })).await;
    server.house.has_beats(3).await;
    server.house.hold_commits(false);
    assert_eq!(soon(sent).await.unwrap(), "in_doubt");
    assert_eq!(server.house.late(id).await, "accepted");
    let Some(Said::Ack(ack)) = raw.hears().await else { panic!("no acknowledgement") };
    assert_eq!((ack.attempt, ack.forget), (attempt, true));
}

/// What a confused or hostile agent may say once it is in.
#[tokio::test(flavor = "multi_thread")]
async fn odd_frames_hurt_nobody_but_the_session_that_sent_them() {
    let server = Arc::new(Server::start().await);
    let mut good = Raw::join(&server.url(), hello("good", Uuid::new_v4())).await;
    let seat = server.house.session("good", 0).await;
    let short = || bytes::Bytes::from_static(b"short");
    let id = || raw::bytes(&Uuid::new_v4());
    let frames: [(Option<Frame>, bool); 9] = [
        (None, true),
        (Some(Frame::Report(wire::Report { attempt: id(), outcome: None })), true),
        (Some(Frame::Ask(Ask { attempt: id() })), true),
        (Some(Frame::ProbeReport(ProbeReport { id: 99, failure: None })), true),
        (Some(Frame::LookupReport(wire::LookupReport { id: 99, answer: None })), true),
        (Some(Frame::Terms(wire::Terms { window: 0, capabilities: None })), true),
        (Some(Frame::Report(wire::Report { attempt: short(), outcome: None })), false),
        (Some(Frame::Ask(Ask { attempt: short() })), false),
        (Some(Frame::Hello(hello("odd", Uuid::new_v4()))), false),
    ];
    for (frame, stays) in frames {
        let mut odd = Raw::join(&server.url(), hello("odd", Uuid::new_v4())).await;
        let generation = odd.welcome.generation;
        server.house.session("odd", generation - 1).await;
        let said = format!("{frame:?}");
        odd.say_whatever(frame).await;
        odd.say(Frame::Draining(wire::Draining {})).await;
        if stays {
            server.house.has_news("odd draining").await;
            server.house.clear_news();
        } else {
            assert_eq!(odd.hears().await, None, "{said}");
        }
    }
    let (_, sent) = server.start_attempt(&seat, OnDoubt::Resend);
    let attempt = good.hears_offer().await.attempt.unwrap().id;
    good.report(&attempt, accepted()).await;
    assert_eq!(soon(sent).await.unwrap(), "accepted");
}
