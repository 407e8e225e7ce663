//! Processes that stand still for a while and go on, as under a debugger or on a machine that sleeps.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{interval, sleep};

use super::{
    crash_recovery::{KINDS, Stage},
    harness::{Crowd, Ledger, Seed, seed::times, story},
};

impl Stage {
    /// Our own pause of this length, under load, takes nobody's standing away.
    async fn pause_ourselves(&self, length: Duration) {
        self.until_active().await;
        let before = self.generations().await;
        self.server.process.stop();
        // The pause is what is tested.
        sleep(length).await;
        self.server.process.resume();
        let mut ticker = interval(Duration::from_millis(20));
        for _ in 0..100 {
            ticker.tick().await;
            for kind in KINDS {
                let status = self.server.status_of(kind).await;
                assert_eq!(status.as_deref(), Some("active"), "{kind} after {length:?}");
            }
        }
        assert_eq!(self.generations().await, before, "an agent had to connect again");
    }

    /// Server or agent stands still for a while, with mail under way that is taken meanwhile. How
    /// much of it the server did not know the end of.
    async fn stand_still(&self, seed: &mut Seed) -> u64 {
        let at = seed.below(KINDS.len() as u64) as usize;
        let (api, agent) = (&self.endpoints[at].process, &self.agents[at].process);
        let is_server = seed.below(3) == 0;
        let stopped = if is_server { &self.server.process } else { agent };
        // So long mail gathers at the API.
        api.stop();
        sleep(seed.millis(50..400)).await;
        stopped.stop();
        api.resume();
        // The pause is what is tested.
        sleep(seed.millis(500..4500)).await;
        let unknown = if is_server { 0 } else { self.server.duplicates_bound().await };
        stopped.resume();
        unknown
    }

    async fn generations(&self) -> Vec<String> {
        let providers = self.server.get("/v1/providers").await;
        let of = |p: &Value| format!("{}: {}", p["id"], p["agents"][0]["generation"]);
        providers["data"].as_array().unwrap().iter().map(of).collect()
    }
}

#[test]
fn our_own_pause_marks_nobody_down() {
    story(async {
        let length = Duration::from_secs(times("SHIVNERI_PAUSE", 5));
        let pauses = times("SHIVNERI_PAUSES", 1);
        let stage = Stage::set().await;
        let crowd = Crowd::start(&stage.server, times("SHIVNERI_RATE", 20) as u32);
        for _ in 0..pauses {
            crowd.until_more(20).await;
            stage.pause_ourselves(length).await;
        }
        let done = crowd.stop().await;
        let endpoints: Vec<_> = stage.endpoints.iter().collect();
        let ledger = Ledger::close(&stage.server, &endpoints, Duration::from_secs(30)).await;
        ledger.check(&stage.server, &done.acknowledged).await;
        println!("our own pauses: {pauses} of {length:?}, nobody was marked down");
    });
}

#[test]
fn held_mail_is_taken_once_at_most_however_often_somebody_stands_still() {
    story(async {
        let mut seed = Seed::of_story("pauses");
        let pauses = times("SHIVNERI_HELD_PAUSES", 5);
        let mut stage = Stage::set().await;
        let crowd = Crowd::on_hold(&stage.server, 100);
        let mut unknown = 0;
        for _ in 0..pauses {
            crowd.until_more(50).await;
            unknown += stage.stand_still(&mut seed).await;
            stage.check_alive();
        }
        stage.end(crowd, "pauses").await;
        println!(
            "pauses: {pauses}, with {unknown} held mails under way at agents that stood still"
        );
        assert!(unknown > 0, "no pause met any mail");
    });
}
