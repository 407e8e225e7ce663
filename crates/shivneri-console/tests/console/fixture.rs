//! The pages with a spool, a registry, and a door that checks and accepts.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use shivneri_console::ConsoleParts;
use shivneri_core::{
    Attempt, Delivery, MessageId, Outcome, ProviderSettings, Registry, Submit, SubmitError,
    Submitted, Transition, draft::Draft, health::HealthPolicy, submit::Door,
};
use shivneri_spool::{Acceptance, Incoming, Memory, Spool, SpoolError};
use shivneri_testkit::ScriptedProvider;
use tokio::sync::watch;
use tower::ServiceExt;

/// Bytes that a form may have in these tests.
pub(crate) const MAX_UPLOAD: usize = 64 << 10;

/// A door as the server has one.
#[derive(Debug)]
struct FrontDoor(Arc<Memory>);

#[async_trait]
impl Submit for FrontDoor {
    async fn submit(&self, draft: Draft, door: Door) -> Result<Submitted, SubmitError> {
        let at = SystemTime::now();
        let message = draft.check(MessageId::new(), at).map_err(SubmitError::Invalid)?;
        let owner = "anonymous".to_owned();
        let incoming = Incoming { message, door, owner, idempotency: None, at };
        match self.0.accept(incoming).await {
            Ok(Acceptance::New { id, status } | Acceptance::Replayed { id, status }) => {
                Ok(Submitted { id, status: status.as_str() })
            }
            Ok(Acceptance::Conflict) => unreachable!("no idempotency key was given"),
            Err(SpoolError::UnknownLane(lane)) => {
                let error =
                    shivneri_core::draft::FieldError::new("lane", format!("no lane {lane}"));
                Err(SubmitError::Invalid(vec![error]))
            }
            Err(error) => {
                Err(SubmitError::Unavailable { reason: error.to_string(), retry_after: 7 })
            }
        }
    }
}

/// What the tests act on.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) registry: Arc<Registry>,
    pub(crate) spool: Arc<Memory>,
    pub(crate) closing: watch::Sender<bool>,
    router: Router,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        assert!(self.body.contains(text), "{text:?} is not in {}", self.body);
    }

    #[track_caller]
    pub(crate) fn hides(&self, text: &str) {
        assert!(!self.body.contains(text), "{text:?} is in {}", self.body);
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let registry = Registry::with_seed(HealthPolicy::default(), 1);
        let spool = Memory::new();
        let parts = ConsoleParts {
            submit: Arc::new(FrontDoor(Arc::clone(&spool))),
            registry: Arc::clone(&registry),
            spool: Arc::clone(&spool) as Arc<dyn Spool>,
            version: "0.0.0-test",
            max_upload: MAX_UPLOAD,
        };
        let closing = watch::Sender::new(false);
        let router = shivneri_console::router_until(parts, closing.subscribe());
        Self { registry, spool, closing, router }
    }

    pub(crate) fn add_provider(&self, id: &str) {
        let provider = Arc::new(ScriptedProvider::new(id));
        self.registry.add(provider, ProviderSettings::default()).unwrap();
    }

    /// Asks without reading the body.
    pub(crate) async fn ask(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.ask(request).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    /// Posts the form with these fields, and files of name, type and content.
    pub(crate) async fn post(
        &self,
        fields: &[(&str, &str)],
        files: &[(&str, &str, &str)],
    ) -> Answer {
        self.send(form(fields, files)).await
    }

    /// Accepts a message as the form would.
    pub(crate) async fn accept(&self, draft: Draft) -> MessageId {
        FrontDoor(Arc::clone(&self.spool)).submit(draft, Door::Http).await.unwrap().id
    }

    /// Begins an attempt for the one delivery that is due.
    pub(crate) async fn begin(&self, provider: &str, reason: &str) -> (Delivery, Attempt) {
        let due = SystemTime::now() + Duration::from_secs(1);
        let delivery = self.spool.lease(8, due).await.unwrap().pop().unwrap();
        let attempt = Attempt {
            delivery: delivery.id,
            number: delivery.next_number(),
            request: delivery.next_number(),
            epoch: delivery.epoch,
            reason: reason.to_owned(),
            possible_duplicate: delivery.is_in_doubt(),
            ..Attempt::single(&delivery.email, provider.parse().unwrap())
        };
        use shivneri_core::AttemptLog;
        self.spool.begin(&attempt).await.unwrap();
        (delivery, attempt)
    }

    pub(crate) async fn end(&self, attempt: &Attempt, outcome: Outcome, transition: Transition) {
        use shivneri_core::AttemptLog;
        self.spool.end(attempt, &outcome, &transition).await.unwrap();
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("accept", "text/html").body(Body::empty()).unwrap()
}

/// The form as a browser posts it.
pub(crate) fn form(fields: &[(&str, &str)], files: &[(&str, &str, &str)]) -> Request<Body> {
    let mut body = String::new();
    for (name, value) in fields {
        body +=
            &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    for (name, kind, content) in files {
        body += &format!(
            "--b\r\nContent-Disposition: form-data; name=\"attachments\"; filename=\"{name}\"\r\n\
             Content-Type: {kind}\r\n\r\n{content}\r\n"
        );
    }
    body += "--b--\r\n";
    Request::post("/compose")
        .header("host", "127.0.0.1:8525")
        .header("origin", "http://127.0.0.1:8525")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Body::from(body))
        .unwrap()
}

/// A message to one recipient.
pub(crate) fn draft(subject: &str) -> Draft {
    Draft {
        from: Some("Asha <asha@example.com>".into()),
        to: vec!["b@example.org".into()],
        subject: subject.into(),
        text: Some("hi".into()),
        ..Draft::default()
    }
}
