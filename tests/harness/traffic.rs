use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, interval},
};

use super::{Endpoint, Server};

/// Steady mail by HTTP until it is stopped.
#[derive(Debug)]
pub(crate) struct Traffic {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    ids: Arc<Mutex<Vec<String>>>,
}

impl Traffic {
    /// Hands over so many mails a second; every one must be acknowledged.
    pub(crate) fn start(server: &Server, rate: u32) -> Self {
        Self::with(server, rate, Refusals::Fail, "resend")
    }

    /// The same to a server that goes away meanwhile: what was not acknowledged is nobody's.
    pub(crate) fn start_until_refused(server: &Server, rate: u32) -> Self {
        Self::with(server, rate, Refusals::Forgive, "resend")
    }

    /// Mail that is rather held than sent again when an attempt is in doubt.
    pub(crate) fn start_on_hold(server: &Server, rate: u32) -> Self {
        Self::with(server, rate, Refusals::Fail, "hold")
    }

    fn with(server: &Server, rate: u32, refusals: Refusals, on_doubt: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ids = Arc::new(Mutex::new(Vec::new()));
        let url = server.url("/v1/messages");
        let task = tokio::spawn(send(url, rate, stopped, Arc::clone(&ids), refusals, on_doubt));
        Self { task, stop, ids }
    }

    /// Waits until so many were acknowledged.
    pub(crate) async fn until_acknowledged(&self, count: usize) {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(20));
        while self.ids.lock().unwrap().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(30));
            ticker.tick().await;
        }
    }

    /// Stops it and gives the ids of all that were acknowledged.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        Arc::try_unwrap(self.ids).unwrap().into_inner().unwrap()
    }
}

/// What an answer other than 202, or none, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusals {
    Fail,
    Forgive,
}

async fn send(
    url: String,
    rate: u32,
    stopped: watch::Receiver<bool>,
    ids: Arc<Mutex<Vec<String>>>,
    refusals: Refusals,
    on_doubt: &'static str,
) {
    let client = reqwest::Client::new();
    let mut ticker = interval(Duration::from_secs(1) / rate);
    let mut running = tokio::task::JoinSet::new();
    let mut number = 0;
    while !*stopped.borrow() {
        ticker.tick().await;
        number += 1;
        let mail = json!({
            "from": "Shop <shop@example.com>",
            "to": [format!("customer-{number}@example.org")],
            "subject": format!("Order {number}"),
            "text": "Thank you.",
            "on_doubt": on_doubt,
        });
        let (request, ids) = (client.post(&url).json(&mail), Arc::clone(&ids));
        running.spawn(async move {
            match acknowledged(request).await {
                Ok(id) => ids.lock().unwrap().push(id),
                Err(error) => assert_eq!(refusals, Refusals::Forgive, "{error:?}"),
            }
        });
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

async fn acknowledged(request: reqwest::RequestBuilder) -> Result<String, reqwest::Error> {
    let answer = request.send().await?.error_for_status()?;
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await?;
    Ok(answer["id"].as_str().unwrap().to_owned())
}

/// Mail that went elsewhere because it was certainly not sent.
#[derive(Debug)]
pub(crate) struct Failover<'a> {
    pub(crate) message: &'a Value,
    /// How long after the end of one attempt the next one began, at the longest.
    pub(crate) wait: Duration,
}

/// What a story's books say at its end.
#[derive(Debug)]
pub(crate) struct Books {
    /// Every message as the API shows it, by id.
    pub(crate) messages: HashMap<String, Value>,
    /// How often each message was taken by any endpoint.
    pub(crate) taken: HashMap<String, usize>,
}

impl Books {
    /// Waits until every message has its end, and reads all books.
    pub(crate) async fn close(
        server: &Server,
        ids: &[String],
        endpoints: &[&Endpoint],
        within: Duration,
    ) -> Self {
        let begun = Instant::now();
        let mut messages = HashMap::new();
        let mut ticker = interval(Duration::from_millis(50));
        for id in ids {
            loop {
                let message = server.message(id).await;
                if !matches!(message["status"].as_str(), Some("queued" | "sending")) {
                    messages.insert(id.clone(), message);
                    break;
                }
                assert!(begun.elapsed() < within, "still on its way after {within:?}: {message:#}");
                ticker.tick().await;
            }
        }
        let mut taken = HashMap::new();
        for id in endpoints.iter().flat_map(|endpoint| endpoint.took()) {
            *taken.entry(id).or_insert(0) += 1;
        }
        Self { messages, taken }
    }

    /// None lost; doubled only where the API shows a possible duplicate; the audit adds up to
    /// exactly what was acknowledged.
    pub(crate) async fn check(&self, server: &Server) {
        self.check_acknowledged(server).await;
        let audit = server.get("/v1/audit").await;
        assert_eq!(audit["accepted"], self.messages.len(), "{audit}");
    }

    /// The same where mail may have been taken whose acknowledgement never arrived.
    pub(crate) async fn check_acknowledged(&self, server: &Server) {
        let lost: Vec<_> =
            self.messages.keys().filter(|id| !self.taken.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} lost, as {:#}", lost.len(), self.messages[lost[0]]);
        for (id, times) in &self.taken {
            let message = match self.messages.get(id) {
                Some(message) => message,
                None => &server.message(id).await,
            };
            assert!(
                *times == 1 || message["possible_duplicate"] == true,
                "taken {times} times and not shown as possible: {message:#}"
            );
        }
        let audit = server.get("/v1/audit").await;
        assert_eq!(audit["gap"], 0, "{audit}");
    }

    /// How many were shown as possible duplicates, and how many really were.
    pub(crate) fn duplicates(&self) -> (usize, usize) {
        let possible = self.messages.values().filter(|m| m["possible_duplicate"] == true).count();
        (possible, self.taken.values().filter(|times| **times > 1).count())
    }

    /// Every mail that an attempt certainly did not send, and that was never in doubt.
    pub(crate) fn failovers(&self) -> Vec<Failover<'_>> {
        let certain = |attempt: &&Value| {
            matches!(attempt["outcome"].as_str(), Some("unavailable" | "not_started" | "throttled"))
        };
        let at = |attempt: &Value, field: &str| parse_millis(attempt[field].as_str().unwrap());
        let mut failovers = Vec::new();
        for message in self.messages.values() {
            let attempts = message["attempts"].as_array().unwrap();
            let failed = attempts.iter().filter(certain).count();
            if failed > 0 && failed + 1 == attempts.len() {
                let waits = attempts
                    .windows(2)
                    .map(|two| at(&two[1], "started_at").saturating_sub(at(&two[0], "ended_at")));
                let longest = u64::try_from(waits.max().unwrap()).unwrap();
                failovers.push(Failover { message, wait: Duration::from_millis(longest) });
            }
        }
        failovers
    }

    /// The attempts at a provider that began between two times.
    pub(crate) fn attempts_at(
        &self,
        provider: &str,
        from: SystemTime,
        to: SystemTime,
    ) -> Vec<&Value> {
        let (from, to) = (millis(from), millis(to));
        let attempts =
            self.messages.values().flat_map(|message| message["attempts"].as_array().unwrap());
        attempts
            .filter(|attempt| attempt["provider"] == provider)
            .filter(|attempt| {
                let at = parse_millis(attempt["started_at"].as_str().unwrap());
                at >= from && at < to
            })
            .collect()
    }
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()
}

/// RFC 3339 in UTC to milliseconds since the epoch.
fn parse_millis(text: &str) -> u128 {
    let time: jiff::Timestamp = text.parse().unwrap();
    u128::try_from(time.as_millisecond()).unwrap()
}
