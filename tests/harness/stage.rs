use std::time::Duration;

use tokio::time::{Instant, interval};

use super::{Agent, Books, Endpoint, Server, Traffic};

/// Mails a second.
const RATE: u32 = 100;

/// Doubt and recovery within seconds, where the defaults take a minute.
pub(crate) const QUICK: &str = r#"
[health]
open = "1s"
open_cap = "2s"
ramp = "3s"
session_ramp = "1s"

[[lane]]
name = "transactional"
doubt_wait = "2s"
"#;

/// How an agent is started against an endpoint.
pub(crate) type StartAgent = fn(&Server, &str, &Endpoint) -> Agent;

/// The parts of a story before anything breaks.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) mailgun: Endpoint,
    pub(crate) sendgrid: Endpoint,
    pub(crate) ses: Endpoint,
    pub(crate) mailgun_agent: Agent,
    _sendgrid_agent: Agent,
    traffic: Traffic,
}

impl Stage {
    /// Two providers under steady load, both with their share. `start` is Mailgun's agent.
    pub(crate) async fn set(start: StartAgent) -> Self {
        let server = Server::start(QUICK);
        let endpoint = |kind| Endpoint::start(kind, server.dir());
        let (mailgun, sendgrid, ses) = (endpoint("mailgun"), endpoint("sendgrid"), endpoint("ses"));
        let mailgun_agent = start(&server, "mailgun", &mailgun);
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
    pub(crate) async fn until_each_has(&self, endpoints: &[&Endpoint], more: usize) {
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
    pub(crate) async fn end(self, story: &str) -> Books {
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
