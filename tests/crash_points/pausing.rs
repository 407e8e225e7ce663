//! A provider that has asked for a pause.

use super::{
    NEVER, Scene, Way, rounds,
    scene::{Dies, mail, millis},
};

#[test]
fn a_pause_that_a_provider_asked_for_outlives_a_kill_right_behind_it() {
    rounds("A pause", async || {
        let mut scene = Scene::set(Way::InProcess, NEVER, Dies::Server("end.committed")).await;
        scene.endpoint.set_mode("429+6").await;
        scene.strike("first", mail()).await;
        scene.endpoint.set_mode("ok").await;
        let status = scene.server.status_of("sendgrid").await;
        assert_eq!(status.as_deref(), Some("throttled"), "the pause is forgotten");
        let first = scene.listed().await[0]["id"].as_str().unwrap().to_owned();
        let second = scene.acknowledged("second", mail()).await;
        scene.sent_once(&second.id, 1).await;
        let asked = millis(&scene.server.message(&first).await["attempts"][0]["ended_at"]);
        let begun = millis(&scene.server.message(&second.id).await["attempts"][0]["started_at"]);
        assert!(begun - asked >= 5900, "it was asked again after {} ms", begun - asked);
    });
}
