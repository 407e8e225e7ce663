//! From an attempt's record to its acknowledged end.

use std::path::Path;

use shivneri_spool::{Options, Spool as _, Sqlite, Status};

use super::{
    NEVER, SOON, Scene, Way, rounds,
    scene::{Dies, large_mail, mail},
};

#[test]
fn c6_an_offer_that_was_recorded_and_not_handed_over_is_proven_unsent_by_the_agent_only() {
    rounds("C6", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Server("begin.committed")).await;
        scene.strike("order", mail()).await;
        scene.proven_not_started(&id_of(&scene).await).await;

        let mut scene = Scene::set(Way::InProcess, SOON, Dies::Server("begin.committed")).await;
        scene.strike("order", mail()).await;
        scene.doubted(&id_of(&scene).await, 0).await;
    });
}

#[test]
fn c7_an_agent_that_died_before_it_wrote_started_has_not_sent() {
    rounds("C7", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Agent("offer.arrived")).await;
        let answer = scene.strike("order", mail()).await.unwrap();
        scene.proven_not_started(&answer.id).await;
    });
}

#[test]
fn c8_what_was_started_and_not_handed_over_whole_is_in_doubt() {
    rounds("C8", async || {
        for point in ["start.journalled", "request.body", "request.body:2"] {
            let mut scene = Scene::set(Way::Agent, SOON, Dies::Agent(point)).await;
            let answer = scene.strike("order", large_mail()).await.unwrap();
            scene.doubted(&answer.id, 0).await;
        }
        for point in ["request.body", "request.body:2"] {
            let mut scene = Scene::set(Way::InProcess, SOON, Dies::Server(point)).await;
            scene.strike("order", large_mail()).await;
            scene.doubted(&id_of(&scene).await, 0).await;
        }
    });
}

#[test]
fn c9_what_was_handed_over_and_not_answered_is_in_doubt() {
    rounds("C9", async || {
        for way in [Way::Agent, Way::InProcess] {
            let mut scene = Scene::set(way, SOON, Dies::Nobody).await;
            scene.endpoint.set_mode("hold").await;
            let answer = scene.acknowledged("order", mail()).await;
            scene.endpoint.until_took(1).await;
            match way {
                Way::Agent => scene.agent().process.kill(),
                Way::InProcess => scene.server.process.kill(),
            }
            scene.endpoint.set_mode("ok").await;
            match way {
                Way::Agent => scene.restart_agent(),
                Way::InProcess => scene.restart(),
            }
            scene.doubted(&answer.id, 1).await;
        }
    });
}

#[test]
fn c10_an_answer_that_nobody_wrote_down_leaves_doubt() {
    rounds("C10", async || {
        let mut scene = Scene::set(Way::Agent, SOON, Dies::Agent("answer.read")).await;
        let answer = scene.strike("order", mail()).await.unwrap();
        scene.doubted(&answer.id, 1).await;

        let mut scene = Scene::set(Way::InProcess, SOON, Dies::Server("answer.read")).await;
        scene.strike("order", mail()).await;
        scene.doubted(&id_of(&scene).await, 1).await;
    });
}

#[test]
fn c11_an_end_in_the_journal_is_exact() {
    rounds("C11", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Agent("end.journalled")).await;
        let answer = scene.strike("order", mail()).await.unwrap();
        scene.sent_once(&answer.id, 1).await;
    });
}

#[test]
fn c12_an_outcome_that_was_not_committed_is_reported_again_by_an_agent_only() {
    rounds("C12", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Server("end.asked")).await;
        scene.strike("order", mail()).await;
        let id = id_of(&scene).await;
        scene.sent_once(&id, 1).await;

        let mut scene = Scene::set(Way::InProcess, SOON, Dies::Server("end.asked")).await;
        scene.strike("order", mail()).await;
        let id = id_of(&scene).await;
        scene.doubted(&id, 1).await;
    });
}

#[test]
fn c13_a_second_report_of_what_is_committed_changes_nothing() {
    rounds("C13", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Server("end.committed")).await;
        scene.strike("order", mail()).await;
        let id = id_of(&scene).await;
        scene.sent_once(&id, 1).await;
        let before = scene.server.message(&id).await;
        scene.until_active().await;
        // An agent ends well once all it has reported is acknowledged.
        assert_eq!(scene.agent().process.terminate(), Some(0));
        assert_eq!(scene.server.message(&id).await, before);
    });
}

#[test]
fn c14_an_event_that_was_committed_and_not_told_is_told_after() {
    rounds("C14", async || {
        for way in [Way::Agent, Way::InProcess] {
            // The first event is that it was taken, the second that the provider took it.
            let mut scene = Scene::set(way, NEVER, Dies::Server("event.committed:2")).await;
            scene.arm();
            let client = scene.hand_over("order", mail());
            scene.died().await;
            client.await.unwrap();
            let path = scene.server.data().join("spool.db");
            // Who was told of the first goes on behind it, with the next owner, whoever that is.
            assert_eq!(told(&path, 1).await, [(2, Status::Accepted)]);
            scene.restart();
            let id = id_of(&scene).await;
            scene.sent_once(&id, 1).await;
            let message = scene.server.message(&id).await;
            let shown: Vec<_> =
                message["events"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
            assert_eq!(shown, ["queued", "accepted"], "{message:#}");
            assert_eq!(scene.server.terminate(), Some(0));
            // And once: neither an agent that reports again nor a restart makes another.
            let all = told(&path, 0).await;
            assert_eq!(all, [(1, Status::Queued), (2, Status::Accepted)]);
        }
    });
}

/// What a reader that knows the events up to `after` is told, and that the state is there with it.
async fn told(path: &Path, after: u64) -> Vec<(u64, Status)> {
    let spool = Sqlite::open(path, Options::default()).unwrap();
    let mut last = spool.last_event();
    assert!(*last.wait_for(|last| *last > after).await.unwrap() == 2, "it need not wait for news");
    let events = spool.events(after, 100).await.unwrap();
    for event in &events {
        let record = spool.get(event.message).await.unwrap().unwrap();
        assert_eq!(record.status(), Status::Accepted);
    }
    spool.close().await;
    events.iter().map(|event| (event.sequence, event.status)).collect()
}

/// The one message there is, whose client may not have been answered.
async fn id_of(scene: &Scene) -> String {
    let listed = scene.listed().await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    listed[0]["id"].as_str().unwrap().to_owned()
}
