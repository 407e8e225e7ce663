//! The disk fails while the server runs.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, interval};

use super::{
    NEVER, SOON, Scene, Way, rounds,
    scene::{Dies, mail, mail_for_later},
};
use crate::harness::{Acknowledged, Crowd, Ledger, ledger};

/// Clients a second.
const RATE: u32 = 100;
/// Mail that waits for this long when the disk begins to fail.
const DUE: Duration = Duration::from_secs(4);

#[test]
fn c18_after_a_failed_sync_nothing_is_taken_or_sent_until_a_restart() {
    rounds("C18", async || {
        for way in [Way::Agent, Way::InProcess] {
            let mut scene = Scene::set(way, SOON, Dies::Server("disk.sync")).await;
            let crowd = Crowd::start(&scene.server, RATE);
            crowd.until_more(150).await;
            let kept = scene.acknowledged("kept", mail_for_later(DUE)).await;
            scene.arm();
            let ready = until_refused(&scene).await;
            assert_eq!((&ready["accept"], &ready["dispatch"]), (&"refused".into(), &"held".into()));
            assert!(ready["reason"].as_str().unwrap().contains("did not sync"), "{ready}");
            // The next sync would succeed: what the first one lost is not on the disk for that.
            scene.server.process.disarm();
            // What was acknowledged or on its way to the provider before has arrived by then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (told, taken) = (crowd.count(), scene.endpoint.took().len());
            for key in ["refused", "refused", "refused-too"] {
                let answer = post(&scene, key).await;
                assert_eq!(answer.status(), 503);
                assert!(answer.headers().contains_key("retry-after"));
            }
            // Its time comes and goes: that nothing happens can only be waited for.
            tokio::time::sleep(DUE).await;
            assert_eq!(crowd.count(), told, "acknowledged without a sync");
            assert_eq!(scene.endpoint.took().len(), taken, "sent without a record");
            assert_eq!(until_refused(&scene).await, ready);
            match way {
                Way::Agent => scene.server.process.kill(),
                Way::InProcess => assert_eq!(scene.server.terminate(), Some(0)),
            }
            scene.restart();
            crowd.until_more(1).await;
            let mut acknowledged = crowd.stop().await.acknowledged;
            acknowledged.push(Acknowledged { id: kept.id, hold: false });
            let server = &scene.server;
            let books = Ledger::close(server, &[&scene.endpoint], Duration::from_secs(60)).await;
            books.check(server, &acknowledged).await;
            ledger::audit(server, acknowledged.len()).await;
        }
    });
}

#[test]
fn c18_an_agent_whose_journal_does_not_sync_begins_no_held_mail() {
    rounds("C18, the journal", async || {
        let mut scene = Scene::set(Way::Agent, NEVER, Dies::Agent("disk.sync")).await;
        scene.arm();
        let mut held = mail();
        held["on_doubt"] = "hold".into();
        let answer = scene.acknowledged("order", held).await;
        let ended = scene.agent().process.end(Duration::from_secs(30)).await;
        assert_eq!(ended.code(), Some(1), "it says that its journal is broken");
        assert_eq!(scene.times_taken(&answer.id), 0, "begun without a record");
        scene.restart();
        scene.proven_not_started(&answer.id).await;
    });
}

/// Waits until the server says that it takes no mail; all that it says then.
async fn until_refused(scene: &Scene) -> Value {
    let begun = Instant::now();
    let mut ticker = interval(Duration::from_millis(10));
    loop {
        ticker.tick().await;
        let ready = reqwest::get(scene.server.url("/readyz")).await.unwrap();
        if ready.status() == 503 {
            return ready.json().await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no failed sync is noticed");
    }
}

async fn post(scene: &Scene, key: &str) -> reqwest::Response {
    let request = reqwest::Client::new().post(scene.server.url("/v1/messages"));
    request.header("idempotency-key", key).json(&mail()).send().await.unwrap()
}
