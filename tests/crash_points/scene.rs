use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval},
};

use crate::harness::{Agent, Build, Endpoint, Fails, Server};

/// Where the provider lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Agent,
    InProcess,
}

/// Which process dies, and where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dies {
    Nobody,
    Server(&'static str),
    Agent(&'static str),
}

/// One provider over one endpoint.
pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) endpoint: Endpoint,
    pub(super) agent: Option<Agent>,
    dies: Dies,
    client: reqwest::Client,
}

/// An answer to a client: the message's id, and whether it was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) replayed: bool,
}

impl Scene {
    /// Starts it all, and waits until the provider is active.
    pub(super) async fn set(way: Way, doubt_wait: &str, dies: Dies) -> Self {
        Self::configured(way, &format!("doubt_wait = \"{doubt_wait}\""), "", dies).await
    }

    /// The same with more of a configuration: of the lane, and sections of its own.
    pub(super) async fn configured(way: Way, lane: &str, more: &str, dies: Dies) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start("sendgrid", dir.path());
        let hosted = match way {
            Way::Agent => String::new(),
            Way::InProcess => format!(
                "[[provider]]\nid = \"sendgrid\"\nkind = \"sendgrid\"\napi_key = \"SG.test\"\n\
                 base_url = \"{}\"\n",
                endpoint.url()
            ),
        };
        let config = format!(
            "[health]\nopen = \"1s\"\nopen_cap = \"2s\"\nsession_ramp = \"1s\"\n{more}\n\
             [[lane]]\nname = \"transactional\"\n{lane}\n{hosted}"
        );
        let (of_server, of_agent) = match dies {
            Dies::Nobody => (Fails::Never, Fails::Never),
            Dies::Server(point) => (Fails::Armed(point), Fails::Never),
            Dies::Agent(point) => (Fails::Never, Fails::Armed(point)),
        };
        let server = Server::start_in(dir, &config, Build::Failpoints, of_server);
        let agent = match way {
            Way::Agent => Some(Agent::start_to_fail(&server, "sendgrid", &endpoint, of_agent)),
            Way::InProcess => None,
        };
        let scene = Self { server, endpoint, agent, dies, client: reqwest::Client::new() };
        scene.until_active().await;
        scene
    }

    pub(super) async fn until_active(&self) {
        self.server.wait_for_status("sendgrid", &["active"], Duration::from_secs(20)).await;
    }

    pub(super) fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("the provider lives at an agent")
    }

    /// Makes the failpoint count from now on.
    pub(super) fn arm(&self) {
        match (self.dies, &self.agent) {
            (Dies::Server(_), _) => self.server.process.arm(),
            (Dies::Agent(_), Some(agent)) => agent.process.arm(),
            (Dies::Agent(_), None) | (Dies::Nobody, _) => panic!("nobody is to die"),
        }
    }

    /// Waits until the process that is to die has died.
    pub(super) async fn died(&mut self) {
        match self.dies {
            Dies::Server(_) => self.server.process.died().await,
            Dies::Agent(_) => self.agent().process.died().await,
            Dies::Nobody => panic!("nobody is to die"),
        }
    }

    /// Starts again what has died.
    pub(super) fn restart(&mut self) {
        match self.dies {
            Dies::Server(_) | Dies::Nobody => self.server.restart(),
            Dies::Agent(_) => self.restart_agent(),
        }
    }

    pub(super) fn restart_agent(&mut self) {
        self.agent = Some(Agent::start(&self.server, "sendgrid", &self.endpoint));
    }

    /// Hands over a message, has the failpoint strike, and brings back what died. What the client
    /// was told.
    pub(super) async fn strike(&mut self, key: &str, mail: Value) -> Option<Answer> {
        self.arm();
        let client = self.hand_over(key, mail);
        self.died().await;
        let answer = client.await.unwrap();
        self.restart();
        answer
    }

    /// A client that hands over this message once. It gives nothing where it was not answered.
    pub(super) fn hand_over(&self, key: &str, mail: Value) -> JoinHandle<Option<Answer>> {
        let request = self.client.post(self.server.url("/v1/messages"));
        let request = request.header("idempotency-key", key).json(&mail);
        tokio::spawn(async move {
            let answer = request.send().await.ok()?;
            let replayed = answer.headers().contains_key("idempotency-replayed");
            let status = answer.status();
            let text = answer.text().await.ok()?;
            assert_eq!(status, 202, "{text}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            Some(Answer { id: answer["id"].as_str().unwrap().to_owned(), replayed })
        })
    }

    /// The same of a server that is there.
    pub(super) async fn acknowledged(&self, key: &str, mail: Value) -> Answer {
        self.hand_over(key, mail).await.unwrap().expect("the server answers")
    }

    /// Takes mail and gives none out.
    pub(super) async fn hold_mail(&self) {
        self.server.post("/v1/providers/sendgrid/disable", &json!({})).await;
    }

    pub(super) async fn let_go(&self) {
        self.server.post("/v1/providers/sendgrid/enable", &json!({})).await;
    }

    /// The messages that the server knows.
    pub(super) async fn listed(&self) -> Vec<Value> {
        self.server.get("/v1/messages").await["data"].as_array().unwrap().clone()
    }

    /// Looks at a message until this holds.
    pub(super) async fn until(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(20));
        loop {
            let message = self.server.message(id).await;
            if holds(&message) {
                return message;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not {what}: {message:#}");
            ticker.tick().await;
        }
    }

    /// It was certainly not sent before, and was sent: taken once, by this attempt.
    pub(super) async fn sent_once(&self, id: &str, attempts: usize) {
        let message = self.until(id, "sent", |m| m["status"] == "accepted").await;
        assert_eq!(self.outcomes(&message).len(), attempts, "{message:#}");
        assert_eq!(message["in_doubt"], false, "{message:#}");
        assert_eq!(message["possible_duplicate"], false, "{message:#}");
        assert_eq!(self.times_taken(id), 1, "{message:#}");
        self.check_books().await;
    }

    /// It was never begun, by somebody's proof, and is sent at once by a second attempt.
    pub(super) async fn proven_not_started(&self, id: &str) {
        self.sent_once(id, 2).await;
        let message = self.server.message(id).await;
        assert_eq!(self.outcomes(&message), ["not_started", "accepted"], "{message:#}");
    }

    /// It is perhaps sent, is shown so for the whole of [`SOON`](super::SOON), and then goes out
    /// once more. `before`: how often it was taken before that.
    pub(super) async fn doubted(&self, id: &str, before: usize) {
        let message = self.until(id, "in doubt", |m| m["in_doubt"] == true).await;
        assert_eq!(message["status"], "sending", "{message:#}");
        assert_eq!(self.outcomes(&message), ["in_doubt"], "{message:#}");
        assert_eq!(self.times_taken(id), before, "{message:#}");
        let message = self.until(id, "sent", |m| m["status"] == "accepted").await;
        assert_eq!(self.outcomes(&message), ["in_doubt", "accepted"], "{message:#}");
        assert_eq!(message["possible_duplicate"], true, "{message:#}");
        assert_eq!(message["attempts"][1]["possible_duplicate"], true, "{message:#}");
        assert_eq!(self.times_taken(id), before + 1, "{message:#}");
        let attempts = &message["attempts"];
        let waited = millis(&attempts[1]["started_at"]) - millis(&attempts[0]["ended_at"]);
        assert!(waited >= 2900, "it waited {waited} ms: {message:#}");
        self.check_books().await;
    }

    pub(super) fn times_taken(&self, id: &str) -> usize {
        self.endpoint.took().iter().filter(|taken| *taken == id).count()
    }

    /// The word of each attempt's outcome.
    pub(super) fn outcomes(&self, message: &Value) -> Vec<String> {
        let attempts = message["attempts"].as_array().unwrap();
        attempts.iter().map(|one| one["outcome"].as_str().unwrap_or("open").to_owned()).collect()
    }

    pub(super) async fn check_books(&self) {
        let audit = self.server.get("/v1/audit").await;
        assert_eq!(audit["gap"], 0, "{audit}");
    }

    /// How many messages were ever accepted.
    pub(super) async fn accepted(&self) -> u64 {
        self.server.get("/v1/audit").await["accepted"].as_u64().unwrap()
    }
}

/// A small mail.
pub(super) fn mail() -> Value {
    json!({
        "from": "Shop <shop@example.com>",
        "to": ["asha@example.org"],
        "subject": "Order",
        "text": "Thank you.",
    })
}

/// One that is handed to a provider in several pieces.
pub(super) fn large_mail() -> Value {
    let mut mail = mail();
    mail["text"] = "Thank you very much. ".repeat(10_000).into();
    mail
}

/// One that is due in a while.
pub(super) fn mail_for_later(after: Duration) -> Value {
    let mut mail = mail();
    let at = jiff::Timestamp::try_from(SystemTime::now() + after).unwrap();
    mail["send_at"] = at.to_string().into();
    mail
}

/// RFC 3339 to milliseconds since the epoch.
pub(super) fn millis(text: &Value) -> i64 {
    text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}
