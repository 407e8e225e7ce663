//! A server that is asked to end: what is under way is finished first.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::harness::{
    Agent, Build, Crowd, Endpoint, Fails, Ledger, Server, ledger::Figures, ledger::audit,
    seed::times, story,
};

/// Clients a second.
const RATE: u32 = 200;
/// The configuration's `drain.timeout`.
const DRAIN: Duration = Duration::from_secs(10);

const CONFIG: &str = r#"
[health]
session_ramp = "1s"

[drain]
timeout = "10s"

[[lane]]
name = "transactional"
doubt_wait = "2s"
"#;

#[test]
fn a_drain_under_load_loses_nothing_and_leaves_nothing_in_doubt() {
    story(async {
        let cycles = times("SHIVNERI_CYCLES", 3);
        let mut server = Server::start(CONFIG);
        let endpoints = ["mailgun", "sendgrid"].map(|kind| Endpoint::start(kind, server.dir()));
        let _agents =
            endpoints.each_ref().map(|endpoint| Agent::start(&server, endpoint.kind(), endpoint));
        for endpoint in &endpoints {
            let within = Duration::from_secs(10);
            server.wait_for_status(endpoint.kind(), &["active"], within).await;
        }
        let crowd = Crowd::start(&server, RATE);
        let mut longest = Duration::ZERO;
        for cycle in 1..=cycles {
            crowd.until_more(150).await;
            let asked = Instant::now();
            assert_eq!(server.terminate(), Some(0), "drain {cycle} did not end well");
            longest = longest.max(asked.elapsed());
            server.restart();
        }
        let done = crowd.stop().await;
        let endpoints: Vec<_> = endpoints.iter().collect();
        let ledger = Ledger::close(&server, &endpoints, Duration::from_secs(60)).await;
        let figures = ledger.check(&server, &done.acknowledged).await;
        assert_eq!(figures, Figures { possible: 0, doubled: 0, in_doubt: 0, held: 0 });
        audit(&server, done.acknowledged.len()).await;
        println!(
            "drain: {cycles} of {cycles} under {:.0} a second, the longest {longest:?}, \
             {} acknowledged, 0 lost, 0 in doubt, 0 doubled",
            done.rate,
            done.acknowledged.len()
        );
        assert!(longest < DRAIN, "a drain took {longest:?}");
    });
}

#[test]
fn a_second_signal_ends_a_drain_and_what_was_under_way_is_in_doubt() {
    story(async {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start("sendgrid", dir.path());
        // Long enough that what is in doubt is looked at before it is sent again.
        let config = CONFIG.replace("\"2s\"", "\"10s\"");
        let config = format!(
            "{config}\n[[provider]]\nid = \"sendgrid\"\nkind = \"sendgrid\"\n\
             api_key = \"SG.test\"\nbase_url = \"{}\"\n",
            endpoint.url()
        );
        let mut server = Server::start_in(dir, &config, Build::Ordinary, Fails::Never);
        endpoint.set_mode("hold").await;
        let crowd = Crowd::start(&server, 50);
        crowd.until_more(20).await;
        let held = crowd.stop().await.acknowledged;
        endpoint.until_took(held.len()).await;

        server.process.ask_to_end();
        let mut ticker = interval(Duration::from_millis(100));
        for _ in 0..10 {
            ticker.tick().await;
            assert_eq!(server.process.ended(), None, "the first signal lets attempts finish");
        }
        let hurried = Instant::now();
        server.process.ask_to_end();
        let status = server.process.end(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(1), "a drain that was cut short says so");
        let log = std::fs::read_to_string(server.dir().join("server.log")).unwrap();
        let told = format!("{} sends were still under way", held.len());
        assert!(log.contains(&told), "{told:?} is not in: {log}");
        println!("second signal: ended after {:?}", hurried.elapsed());

        endpoint.set_mode("ok").await;
        server.restart();
        for one in &held {
            let message = server.message(&one.id).await;
            assert_eq!(message["in_doubt"], true, "{message:#}");
        }
        let ledger = Ledger::close(&server, &[&endpoint], Duration::from_secs(30)).await;
        ledger.check(&server, &held).await;
    });
}
