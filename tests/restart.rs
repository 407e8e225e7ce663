//! The server itself stops, dies and comes back.

use std::time::Duration;

use super::harness::{Agent, Books, Endpoint, Server, Traffic, story};

const CONFIG: &str = r#"
[health]
session_ramp = "1s"

[[lane]]
name = "transactional"
doubt_wait = "1s"
"#;

#[test]
fn what_was_acknowledged_outlives_a_killed_server() {
    story(async {
        let mut server = Server::start(CONFIG);
        let sendgrid = Endpoint::start("sendgrid", server.dir());
        let _agent = Agent::start(&server, "sendgrid", &sendgrid);
        server.wait_for_status("sendgrid", &["active"], Duration::from_secs(10)).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let traffic = Traffic::start_until_refused(&server, 100);
            sendgrid.until_took(sendgrid.took().len() + 50).await;
            server.kill_and_restart();
            ids.extend(traffic.stop().await);
        }
        let books = Books::close(&server, &ids, &[&sendgrid], Duration::from_secs(60)).await;
        books.check_acknowledged(&server).await;
        let (possible, doubled) = books.duplicates();
        println!(
            "killed server: {} acknowledged, 0 lost, {possible} possible duplicates, {doubled} real ones",
            ids.len()
        );
    });
}

#[test]
fn a_drain_leaves_nothing_in_doubt() {
    story(async {
        let mut server = Server::start(CONFIG);
        let sendgrid = Endpoint::start("sendgrid", server.dir());
        let _agent = Agent::start(&server, "sendgrid", &sendgrid);
        server.wait_for_status("sendgrid", &["active"], Duration::from_secs(10)).await;
        let traffic = Traffic::start_until_refused(&server, 100);
        sendgrid.until_took(50).await;
        assert_eq!(server.terminate(), Some(0), "it drained");
        let ids = traffic.stop().await;
        server.restart();
        let books = Books::close(&server, &ids, &[&sendgrid], Duration::from_secs(30)).await;
        books.check_acknowledged(&server).await;
        assert_eq!(books.duplicates(), (0, 0));
    });
}

#[test]
fn mail_waits_while_nobody_is_there_and_goes_out_when_somebody_comes() {
    story(async {
        let server = Server::start(CONFIG);
        let traffic = Traffic::start(&server, 50);
        traffic.until_acknowledged(50).await;
        let ids = traffic.stop().await;
        let ready = server.get("/readyz").await;
        assert_eq!(
            (&ready["accept"], &ready["dispatch"]),
            (&"ok".into(), &"held".into()),
            "{ready}"
        );
        let message = server.message(&ids[0]).await;
        assert_eq!(message["status"], "queued");
        assert_eq!(
            message["attempts"].as_array().map(Vec::len),
            Some(0),
            "waiting burns no attempt"
        );

        let sendgrid = Endpoint::start("sendgrid", server.dir());
        let _agent = Agent::start(&server, "sendgrid", &sendgrid);
        let books = Books::close(&server, &ids, &[&sendgrid], Duration::from_secs(30)).await;
        books.check(&server).await;
        assert_eq!(books.duplicates(), (0, 0));
    });
}
