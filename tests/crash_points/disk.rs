//! The disk fails while the server runs.

use std::time::Duration;

use serde_json::Value;

use super::{
    NEVER, Scene, Way, rounds,
    scene::{Dies, mail, mail_for_later},
};

#[test]
fn c18_after_a_failed_sync_nothing_is_taken_or_sent_until_a_restart() {
    rounds("C18", async || {
        for way in [Way::Agent, Way::InProcess] {
            let mut scene = Scene::set(way, NEVER, Dies::Server("commit.sync")).await;
            let later = mail_for_later(Duration::from_secs(6));
            let kept = scene.acknowledged("kept", later).await;
            scene.arm();
            // The second commit would succeed: the first failure has made an end of it.
            for key in ["refused", "refused", "refused-too"] {
                let answer = post(&scene, key).await;
                assert_eq!(answer.status(), 503);
                assert!(answer.headers().contains_key("retry-after"));
            }
            let ready = reqwest::get(scene.server.url("/readyz")).await.unwrap();
            assert_eq!(ready.status(), 503);
            let ready: Value = ready.json().await.unwrap();
            assert_eq!((&ready["accept"], &ready["dispatch"]), (&"refused".into(), &"held".into()));
            assert!(ready["reason"].as_str().unwrap().contains("did not sync"), "{ready}");
            // Its time comes and goes: that nothing happens can only be waited for.
            tokio::time::sleep(Duration::from_secs(7)).await;
            assert_eq!(scene.times_taken(&kept.id), 0, "sent without a record");
            scene.server.process.kill();
            scene.restart();
            scene.sent_once(&kept.id, 1).await;
            assert_eq!(scene.accepted().await, 1, "what was refused is not there");
        }
    });
}

async fn post(scene: &Scene, key: &str) -> reqwest::Response {
    let request = reqwest::Client::new().post(scene.server.url("/v1/messages"));
    request.header("idempotency-key", key).json(&mail()).send().await.unwrap()
}
