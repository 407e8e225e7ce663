//! A provider dies under load, and the applications notice nothing.
//!
//! Server, agents and email APIs are processes. Steady mail flows by HTTP over Mailgun and
//! SendGrid; Mailgun's agent or API is killed, stopped or broken; SES joins on the fly; Mailgun
//! comes back. At the end no mail is lost, and none doubled but where the API says so.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, interval};

use super::harness::{Agent, Books, Endpoint, Server, Traffic, story};

/// Mails a second.
const RATE: u32 = 100;

/// Doubt and recovery within seconds, where the defaults take a minute.
const CONFIG: &str = r#"
[health]
open = "1s"
open_cap = "2s"
ramp = "3s"
session_ramp = "1s"

[[lane]]
name = "transactional"
doubt_wait = "2s"
"#;

/// The parts of a story before anything breaks.
struct Stage {
    server: Server,
    mailgun: Endpoint,
    sendgrid: Endpoint,
    ses: Endpoint,
    mailgun_agent: Agent,
    _sendgrid_agent: Agent,
    traffic: Traffic,
}

impl Stage {
    /// Two providers under steady load, both with their share.
    async fn set() -> Self {
        let server = Server::start(CONFIG);
        let endpoint = |kind| Endpoint::start(kind, server.dir());
        let (mailgun, sendgrid, ses) = (endpoint("mailgun"), endpoint("sendgrid"), endpoint("ses"));
        let mailgun_agent = Agent::start(&server, "mailgun", &mailgun);
        let sendgrid_agent = Agent::start(&server, "sendgrid", &sendgrid);
        for provider in ["mailgun", "sendgrid"] {
            server.wait_for_status(provider, &["active"], Duration::from_secs(10)).await;
        }
        let traffic = Traffic::start(&server, RATE);
        let stage = Self {
            server,
            mailgun,
            sendgrid,
            ses,
            mailgun_agent,
            _sendgrid_agent: sendgrid_agent,
            traffic,
        };
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid], 50).await;
        stage
    }

    /// Waits until each of these took so many more mails.
    async fn until_each_has(&self, endpoints: &[&Endpoint], more: usize) {
        let begun = Instant::now();
        let before: Vec<usize> = endpoints.iter().map(|endpoint| endpoint.took().len()).collect();
        let mut ticker = interval(Duration::from_millis(50));
        while endpoints
            .iter()
            .zip(&before)
            .any(|(endpoint, before)| endpoint.took().len() < before + more)
        {
            let gained: Vec<_> = endpoints.iter().map(|e| (e.kind(), e.took().len())).collect();
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no share: {gained:?}, before {before:?}"
            );
            ticker.tick().await;
        }
    }

    /// Ends the traffic and reads the books.
    async fn end(self, story: &str) -> Books {
        let ids = self.traffic.stop().await;
        let endpoints = [&self.mailgun, &self.sendgrid, &self.ses];
        let books = Books::close(&self.server, &ids, &endpoints, Duration::from_secs(60)).await;
        books.check(&self.server).await;
        let (possible, doubled) = books.duplicates();
        println!(
            "{story}: {} acknowledged, 0 lost, {possible} possible duplicates, {doubled} real ones",
            ids.len()
        );
        books
    }
}

#[test]
fn a_killed_agent_loses_no_mail_and_gets_none_until_it_is_back() {
    story(async {
        let mut stage = Stage::set().await;
        stage.mailgun_agent.process.kill();
        let killed = SystemTime::now();
        stage.server.wait_for_status("mailgun", &["offline"], Duration::from_secs(1)).await;
        stage.until_each_has(&[&stage.sendgrid], 100).await;

        // A third provider joins without a restart or a change of configuration.
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        let back = SystemTime::now();
        let _mailgun_agent = Agent::start(&stage.server, "mailgun", &stage.mailgun);
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("killed agent").await;
        let late = books.attempts_at("mailgun", killed + Duration::from_millis(200), back);
        assert!(late.is_empty(), "{} offers to the dead, as {:#}", late.len(), late[0]);
    });
}

#[test]
fn a_stopped_agent_gets_no_mail_after_a_second_of_silence() {
    story(async {
        let stage = Stage::set().await;
        stage.mailgun_agent.process.stop();
        let stopped = SystemTime::now();
        // With mail in flight its silence is a stall as well, and that is shown first.
        let silent = ["stalled", "suspect", "offline"];
        stage.server.wait_for_status("mailgun", &silent, Duration::from_secs(2)).await;
        stage.server.wait_for_status("mailgun", &["offline"], Duration::from_secs(4)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        let back = SystemTime::now();
        stage.mailgun_agent.process.resume();
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("stopped agent").await;
        // Silence is measured from the last beat, and looked at with each of our own.
        let late = books.attempts_at("mailgun", stopped + Duration::from_millis(1500), back);
        assert!(late.is_empty(), "{} offers to the silent, as {:#}", late.len(), late[0]);
    });
}

#[test]
fn a_stopped_endpoint_behind_a_beating_agent_is_left_alone() {
    story(async {
        let stage = Stage::set().await;
        stage.mailgun.process.stop();
        let stopped = SystemTime::now();
        stage.server.wait_for_status("mailgun", &["stalled"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        let back = SystemTime::now();
        stage.mailgun.process.resume();
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("stopped endpoint").await;
        let late = books.attempts_at("mailgun", stopped + Duration::from_millis(2500), back);
        assert!(late.is_empty(), "{} offers to the stalled, as {:#}", late.len(), late[0]);
    });
}

#[test]
fn an_endpoint_that_answers_503_is_left_alone_until_it_recovers() {
    story(async {
        let stage = Stage::set().await;
        stage.mailgun.set_mode("503").await;
        stage.server.wait_for_status("mailgun", &["open"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        stage.mailgun.set_mode("ok").await;
        stage
            .server
            .wait_for_status("mailgun", &["recovering", "active"], Duration::from_secs(30))
            .await;
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;
        stage.end("endpoint answering 503").await;
    });
}

#[test]
fn an_endpoint_that_refuses_connections_costs_mail_one_attempt_more_at_most() {
    story(async {
        let mut stage = Stage::set().await;
        stage.mailgun.process.kill();
        stage.server.wait_for_status("mailgun", &["open"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        stage.mailgun.restart(stage.server.dir());
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("endpoint refusing connections").await;
        let failovers = books.failovers();
        let slowest = failovers.iter().max_by_key(|failover| failover.wait).unwrap();
        let (count, wait) = (failovers.len(), slowest.wait);
        println!("{count} certainly not sent at first: the next attempt {wait:?} later at most");
        // It begins at once; what is allowed for is a machine too busy for any provider to answer.
        assert!(wait <= Duration::from_millis(500), "waited {wait:?}: {:#}", slowest.message);
    });
}
