//! A provider written by hand on a TCP stream, for an API made up here, and its flaws.

mod wire;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use shivneri_core::{
    Answer, Attempt, Capabilities, Cause, Doubt, Email, EmailProvider, Failure, Fault, ProviderId,
    Receipt, Scope, SendError,
};
use shivneri_testkit::{
    Reply,
    contract::{Case, Expect, RECIPIENTS, Subject},
};
use tokio::time::timeout;
use wire::{Exchange, Response, exchange};

pub(crate) const KEY: &str = "hm-0f1e2d3c4b5a";

/// What a provider may get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    Retries,
    FollowsRedirects,
    SendsOnInTheBackground,
    DrawsABoundary,
    MakesUpIds,
    CondemnsAny4xx,
    ForgetsRetryAfter,
    RetriesA503Elsewhere,
    TrustsAnySuccess,
    ReadsWithoutEnd,
    BlamesTheServiceForTheLink,
    DoubtsWhatItNeverWrote,
    CallsSilenceUnavailable,
    IgnoresTheTimeout,
    GivesUpEarly,
    ShowsItsKey,
    RepeatsAnswers,
    ProbesByMail,
    ProbesGreenAlways,
}

pub(crate) struct Handmade {
    id: ProviderId,
    authority: String,
    flaw: Flaw,
}

impl fmt::Debug for Handmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.flaw == Flaw::ShowsItsKey { KEY } else { "***" };
        f.debug_struct("Handmade").field("id", &self.id).field("key", &key).finish()
    }
}

impl Handmade {
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            self.authority,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn body(&self, email: &Email) -> Vec<u8> {
        let mut body = format!("{}\n{}\n", email.from(), email.subject()).into_bytes();
        for recipient in email.envelope().recipients() {
            body.extend_from_slice(format!("{}\n", recipient.as_str()).as_bytes());
        }
        if self.flaw == Flaw::DrawsABoundary {
            body.extend_from_slice(shivneri_core::AttemptId::new().to_string().as_bytes());
        }
        body.extend_from_slice(email.text().unwrap_or_default().as_bytes());
        for file in email.attachments() {
            body.extend_from_slice(file.filename().as_bytes());
            body.extend_from_slice(file.content());
        }
        body
    }

    async fn once(&self, request: Vec<u8>, limit: Duration) -> Result<Response, SendError> {
        let limit = match self.flaw {
            Flaw::IgnoresTheTimeout => Duration::from_secs(60),
            Flaw::GivesUpEarly => limit / 2,
            _ => limit,
        };
        let handed_over = Arc::new(AtomicBool::new(false));
        let call = Exchange {
            authority: self.authority.clone(),
            request,
            handed_over: Arc::clone(&handed_over),
            limit: if self.flaw == Flaw::ReadsWithoutEnd { usize::MAX } else { 1 << 20 },
        };
        let exchanged = if self.flaw == Flaw::SendsOnInTheBackground {
            timeout(limit, async { tokio::spawn(exchange(call)).await.unwrap() }).await
        } else {
            timeout(limit, exchange(call)).await
        };
        let failed = match exchanged {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => SendError::new(self.silence(&handed_over), error.to_string()),
            Err(_) => SendError::new(self.silence(&handed_over), "no answer in time"),
        };
        let by_link = *failed.failure() == Failure::Unavailable
            && self.flaw != Flaw::BlamesTheServiceForTheLink;
        Err(if by_link { failed.caused_by(Cause::Link) } else { failed })
    }

    fn silence(&self, handed_over: &AtomicBool) -> Failure {
        let all = handed_over.load(Ordering::SeqCst);
        match self.flaw {
            Flaw::CallsSilenceUnavailable => Failure::Unavailable,
            Flaw::DoubtsWhatItNeverWrote => Failure::InDoubt(Doubt::Strong),
            _ if all => Failure::InDoubt(Doubt::Strong),
            _ => Failure::Unavailable,
        }
    }

    fn outcome(&self, response: &Response) -> Result<Receipt, SendError> {
        let text = response.text.trim();
        let id = text.strip_prefix(r#"{"id":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        let made_up = matches!(self.flaw, Flaw::TrustsAnySuccess).then_some("accepted");
        let failure = match (response.status, text) {
            (200..=299, _) => match id.or(made_up) {
                Some(_) if self.flaw == Flaw::MakesUpIds => return Ok(Receipt::new("made-up")),
                Some(id) => return Ok(Receipt::new(id)),
                None => Failure::InDoubt(Doubt::Weak),
            },
            (400, r#"{"error":"content"}"#) => Failure::Rejected(Scope::Message),
            (400, r#"{"error":"first recipient"}"#) => {
                let bad = RECIPIENTS[0].parse().unwrap();
                Failure::Rejected(Scope::Recipients(vec![bad]))
            }
            (401 | 403, _) => Failure::AccountFault(Fault::Key),
            (402, _) => Failure::AccountFault(Fault::Quota),
            (413, _) => Failure::Unsupported,
            (429, _) => Failure::Throttled { retry_after: self.pause(response) },
            (503, _) if response.retry_after.is_some() => {
                Failure::Throttled { retry_after: self.pause(response) }
            }
            (507, r#"{"error":"not taken"}"#) => Failure::Unavailable,
            (503, _) if self.flaw == Flaw::RetriesA503Elsewhere => Failure::Unavailable,
            (500..=599, _) | (100..=399, _) => Failure::InDoubt(Doubt::Weak),
            _ if self.flaw == Flaw::CondemnsAny4xx => Failure::Rejected(Scope::Message),
            _ => Failure::Rejected(Scope::Unexplained),
        };
        let detail = match self.flaw {
            Flaw::RepeatsAnswers => text.to_owned(),
            _ => format!("answered {}", response.status),
        };
        Err(SendError::new(failure, detail).with_answer(Answer::new(response.status, text)))
    }

    fn pause(&self, response: &Response) -> Option<Duration> {
        let value = response.retry_after.as_deref()?;
        if self.flaw == Flaw::ForgetsRetryAfter {
            return None;
        }
        let seconds = value.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(Duration::from_secs(u64::try_from(date.as_second()).ok()?).saturating_sub(now))
        })
    }
}

#[async_trait]
impl EmailProvider for Handmade {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        "handmade"
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::new(Capabilities::default())
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        let body = self.body(email);
        let send = |path: &str| self.once(self.request("POST", path, &body), attempt.timeout);
        let mut response = send("/send").await;
        if self.flaw == Flaw::Retries && response.as_ref().map_or(true, |r| r.status >= 500) {
            response = send("/send").await;
        }
        let response = response?;
        match response.location.as_deref().and_then(|to| to.find("/elsewhere").map(|at| &to[at..]))
        {
            Some(path) if self.flaw == Flaw::FollowsRedirects => self.outcome(&send(path).await?),
            _ => self.outcome(&response),
        }
    }

    async fn probe(&self) -> Result<(), SendError> {
        let limit = Duration::from_secs(5);
        let (method, path) = match self.flaw {
            Flaw::ProbesByMail => ("POST", "/send?dry"),
            _ => ("GET", "/account"),
        };
        let response = self.once(self.request(method, path, b""), limit).await?;
        if response.status == 200 || self.flaw == Flaw::ProbesGreenAlways {
            return Ok(());
        }
        self.outcome(&response).map(|_| ())
    }
}

/// What the suite is told of it.
pub(crate) struct HandmadeSubject(pub(crate) Flaw);

impl Subject for HandmadeSubject {
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
        let host = base_url.strip_prefix("http://").unwrap();
        let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Arc::new(Handmade { id: "handmade".parse().unwrap(), authority, flaw: self.0 })
    }

    fn accepted(&self) -> Reply {
        Reply::json(202, r#"{"id":"m-1"}"#)
    }

    fn accepted_id(&self) -> &str {
        "m-1"
    }

    fn table(&self) -> Vec<Case> {
        let content = Reply::json(400, r#"{"error":"content"}"#);
        let recipient = Reply::json(400, r#"{"error":"first recipient"}"#);
        let not_taken = Reply::json(507, r#"{"error":"not taken"}"#);
        let fault = Expect::AccountFault(Fault::Quota);
        vec![
            Case::new("bad content", content, Expect::RejectedMessage),
            Case::new("bad recipient", recipient, Expect::RejectedRecipients(vec![RECIPIENTS[0]])),
            Case::new("quota", Reply::text(402, "pay"), fault),
            Case::new("out of space", not_taken, Expect::Unavailable),
            Case::new("a pause", Reply::empty(429), Expect::Throttled(None)),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.to_owned()]
    }

    fn probe_ok(&self) -> Reply {
        Reply::json(200, "{}")
    }
}
