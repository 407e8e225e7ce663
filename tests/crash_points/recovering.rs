//! Retention, torn tails, and dying again while recovering.

use std::{fs::File, path::Path, time::Duration};

use super::{
    NEVER, SOON, Scene, Way, rounds,
    scene::{Dies, mail},
};
use crate::harness::{Agent, Fails};

#[test]
fn c15_a_body_past_retention_is_collected_after_a_crash_before_it_was() {
    rounds("C15", async || {
        for way in [Way::Agent, Way::InProcess] {
            let lane = format!("doubt_wait = \"{NEVER}\"");
            let retention = "[retention]\nbody = \"1s\"";
            let mut scene = Scene::configured(way, &lane, retention, Dies::Nobody).await;
            let answer = scene.acknowledged("order", mail()).await;
            scene.sent_once(&answer.id, 1).await;
            assert_eq!(scene.server.message(&answer.id).await["text"], "Thank you.");
            scene.server.process.kill();
            // The clock that counts is the machine's.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            scene.server.die_at_start("collect.found").await;
            scene.restart();
            let what = "without its body";
            let message = scene.until(&answer.id, what, |m| m["text"].is_null()).await;
            assert_eq!(message["status"], "accepted", "{message:#}");
            scene.check_books().await;
        }
    });
}

#[test]
fn c16_a_torn_tail_of_the_queue_is_cut_and_holds_nothing_that_was_acknowledged() {
    rounds("C16, the queue's log", async || {
        for (torn, way) in [(1, Way::Agent), (4096, Way::InProcess)] {
            let mut scene = Scene::set(way, NEVER, Dies::Server("accept.committed")).await;
            // Nothing else is written meanwhile.
            scene.hold_mail().await;
            let before = scene.accepted().await;
            assert_eq!(before, 0);
            // The first two are known by their keys: the failpoint is not armed yet.
            let mut ids = Vec::new();
            for key in ["one", "two"] {
                ids.push(scene.acknowledged(key, mail()).await.id);
            }
            scene.arm();
            let last = scene.hand_over("three", mail());
            scene.died().await;
            assert_eq!(last.await.unwrap(), None);
            cut(&scene.server.data().join("spool.db-wal"), torn);
            scene.restart();
            assert_eq!((scene.accepted().await, scene.listed().await.len()), (2, 2));
            let again = scene.acknowledged("three", mail()).await;
            assert!(!again.replayed, "half of it was found");
            ids.push(again.id);
            scene.let_go().await;
            for id in ids {
                scene.sent_once(&id, 1).await;
            }
        }
    });
}

#[test]
fn c16_a_torn_tail_of_the_journal_is_cut_and_leaves_doubt() {
    rounds("C16, the journal", async || {
        let mut scene = Scene::set(Way::Agent, SOON, Dies::Agent("end.journalled")).await;
        scene.arm();
        let answer = scene.acknowledged("order", mail()).await;
        scene.died().await;
        cut(&scene.server.dir().join("state-sendgrid/journal"), 3);
        scene.restart();
        scene.doubted(&answer.id, 1).await;
    });
}

#[test]
fn c17_who_dies_five_times_while_recovering_comes_to_the_same_end() {
    rounds("C17", async || {
        for way in [Way::Agent, Way::InProcess] {
            let mut scene = Scene::set(way, SOON, Dies::Nobody).await;
            scene.endpoint.set_mode("hold").await;
            let answer = scene.acknowledged("order", mail()).await;
            scene.endpoint.until_took(1).await;
            scene.server.process.kill();
            if way == Way::Agent {
                scene.agent().process.kill();
            }
            scene.endpoint.set_mode("ok").await;
            for _ in 0..5 {
                scene.server.die_at_start("recover.decided").await;
            }
            scene.server.restart();
            if way == Way::Agent {
                for _ in 0..5 {
                    let fails = Fails::AtOnce("journal.recovered");
                    let mut agent =
                        Agent::start_to_fail(&scene.server, "sendgrid", &scene.endpoint, fails);
                    agent.process.died().await;
                }
                scene.restart_agent();
            }
            scene.doubted(&answer.id, 1).await;
        }
    });
}

/// Takes so many bytes off a file's end.
fn cut(path: &Path, bytes: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.checked_sub(bytes).unwrap()).unwrap();
}
