//! A whole API over a real spool, and requests to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shivneri_core::{
    Attempt, AttemptLog, Delivery, Email, EmailProvider as _, Outcome, ProviderId,
    ProviderSettings, Registry, SendError, Transition, health::HealthPolicy,
};
use shivneri_ingress::{
    Access, ConfiguredKey, IngressParts, MailboxAnswer, Mailboxes, Metrics, Submission, router,
};
use shivneri_providers::sandbox::{Config, Mailbox, Sandbox};
use shivneri_spool::{Memory, Options, Spool, Sqlite};
use tower::ServiceExt as _;

/// The registry's sandboxes, by name.
#[derive(Debug, Default)]
pub(crate) struct Boxes(Mutex<HashMap<ProviderId, Mailbox>>);

impl Mailboxes for Boxes {
    fn mailbox(&self, provider: &ProviderId) -> MailboxAnswer {
        match self.0.lock().unwrap().get(provider) {
            Some(mailbox) => MailboxAnswer::Here(mailbox.list(usize::MAX)),
            None if provider.as_str().starts_with("remote") => MailboxAnswer::Elsewhere,
            None => MailboxAnswer::NotASandbox,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: Arc<Access>,
    pub(crate) submission: Arc<Submission>,
    pub(crate) router: Router,
    boxes: Arc<Boxes>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code, and the fields that are named.
    pub(crate) fn problem(&self) -> (u16, String, Vec<String>) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("/problems/{}", code.replace('_', "-")));
        assert_eq!(body["status"], self.status.as_u16());
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        let field = |error: &Value| {
            assert!(!error["reason"].as_str().unwrap().is_empty());
            error["field"].as_str().unwrap().to_owned()
        };
        let fields = body["errors"].as_array().unwrap().iter().map(field).collect();
        (self.status.as_u16(), code, fields)
    }
}

impl Rig {
    /// Over memory, open on loopback, without providers.
    pub(crate) async fn new() -> Self {
        Self::over(Memory::new()).await
    }

    /// Over SQLite in this directory.
    pub(crate) async fn sqlite(directory: &std::path::Path, options: Options) -> Self {
        Self::over(Sqlite::open(directory.join("spool.db"), options).unwrap()).await
    }

    pub(crate) async fn over(spool: Arc<dyn Spool>) -> Self {
        Self::with(spool, Vec::new(), IngressParts::MAX_BODY).await
    }

    pub(crate) async fn with(
        spool: Arc<dyn Spool>,
        keys: Vec<ConfiguredKey>,
        max_body: usize,
    ) -> Self {
        let access = Access::load(Arc::clone(&spool), keys, true).await.unwrap();
        Self::behind(spool, access, max_body)
    }

    pub(crate) fn behind(spool: Arc<dyn Spool>, access: Arc<Access>, max_body: usize) -> Self {
        let registry = Registry::with_seed(HealthPolicy::default(), 7);
        let metrics = Metrics::new("1.2.3");
        let submission = Submission::new(Arc::clone(&spool), Arc::clone(&metrics));
        let boxes = Arc::new(Boxes::default());
        let router = router(IngressParts {
            submission: Arc::clone(&submission),
            spool: Arc::clone(&spool),
            registry: Arc::clone(&registry),
            mailboxes: boxes.clone(),
            access: Arc::clone(&access),
            metrics: Arc::clone(&metrics),
            max_body,
        });
        Self { spool, registry, metrics, access, submission, router, boxes }
    }

    /// Adds a sandbox of this name.
    pub(crate) fn sandbox(&self, name: &str) -> Arc<Sandbox> {
        let id: ProviderId = name.parse().unwrap();
        let sandbox = Arc::new(Sandbox::new(id.clone(), Config::default()));
        self.registry.add(sandbox.clone(), ProviderSettings::default()).unwrap();
        self.boxes.0.lock().unwrap().insert(id, sandbox.mailbox());
        sandbox
    }

    /// Sends a request; without a `Host` among its headers it goes to localhost.
    pub(crate) async fn send(&self, request: Request<Body>) -> Got {
        got(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8525");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.call("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Got {
        self.call("POST", path, &[JSON], body.to_string()).await
    }

    /// Posts a message, and gives its id.
    pub(crate) async fn accepted(&self, message: &Value) -> String {
        let got = self.post("/v1/messages", message).await;
        assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text);
        got.json()["id"].as_str().unwrap().to_owned()
    }

    /// A lease may come up empty where the queue has to pass over what was settled meanwhile.
    pub(crate) async fn leased(&self) -> Delivery {
        let now = std::time::SystemTime::now();
        while self.spool.next_due().is_some_and(|due| due <= now) {
            if let Some(delivery) = self.spool.lease(1, now).await.unwrap().pop() {
                return delivery;
            }
        }
        panic!("nothing is due");
    }

    /// Makes one attempt for whatever is due, at this sandbox, with the outcome that it gives.
    pub(crate) async fn carry(&self, sandbox: &Sandbox, transition: Transition) {
        let (email, attempt) = self.begun(sandbox.id().as_str()).await;
        let outcome = Outcome::from(sandbox.send(&email, &attempt).await);
        self.log().end(&attempt, &outcome, &transition).await.unwrap();
    }

    /// Makes one attempt for whatever is due, with this outcome.
    pub(crate) async fn fail(&self, error: SendError, transition: Transition) {
        let (_, attempt) = self.begun("sandbox-a").await;
        self.log().end(&attempt, &Outcome::Failed(error), &transition).await.unwrap();
    }

    async fn begun(&self, provider: &str) -> (Arc<Email>, Attempt) {
        let delivery = self.leased().await;
        let attempt = Attempt {
            delivery: delivery.id,
            epoch: delivery.epoch,
            number: delivery.next_number(),
            request: delivery.next_number(),
            reason: "the only one".to_owned(),
            started_at: std::time::SystemTime::now(),
            ..Attempt::single(&delivery.email, provider.parse().unwrap())
        };
        self.log().begin(&attempt).await.unwrap();
        (delivery.email, attempt)
    }

    fn log(&self) -> Arc<dyn AttemptLog> {
        self.metrics.log(Arc::clone(&self.spool) as Arc<dyn AttemptLog>)
    }
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) fn message() -> Value {
    json!({
        "from": "Asha <asha@example.com>",
        "to": ["b@example.org"],
        "subject": "hello",
        "text": "hi",
    })
}

/// A message with these fields besides.
pub(crate) fn with(fields: Value) -> Value {
    let mut message = message();
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

pub(crate) async fn got(response: Response) -> Got {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Got {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}
