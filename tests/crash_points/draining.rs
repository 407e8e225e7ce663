//! A drain that is cut short.

use std::{fs, time::Duration};

use tokio::time::{Instant, interval};

use super::{
    NEVER, SOON, Scene, Way, rounds,
    scene::{Dies, mail},
};

#[test]
fn c20_a_drain_that_is_killed_leaves_what_any_kill_leaves() {
    rounds("C20", async || {
        for (way, doubt_wait) in [(Way::Agent, NEVER), (Way::InProcess, SOON)] {
            let mut scene = Scene::set(way, doubt_wait, Dies::Nobody).await;
            scene.endpoint.set_mode("hold").await;
            let answer = scene.acknowledged("order", mail()).await;
            scene.endpoint.until_took(1).await;
            scene.server.process.ask_to_end();
            until_draining(&scene).await;
            assert_eq!(scene.server.process.ended(), None, "it waits for the answer");
            scene.server.process.kill();
            scene.endpoint.set_mode("ok").await;
            scene.restart();
            match way {
                // The agent heard the answer meanwhile and reports it.
                Way::Agent => scene.sent_once(&answer.id, 1).await,
                Way::InProcess => scene.doubted(&answer.id, 1).await,
            }
        }
    });
}

async fn until_draining(scene: &Scene) {
    let begun = Instant::now();
    let mut ticker = interval(Duration::from_millis(10));
    let log = scene.server.dir().join("server.log");
    while !fs::read_to_string(&log).unwrap().contains("draining") {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not drain");
        ticker.tick().await;
    }
}
