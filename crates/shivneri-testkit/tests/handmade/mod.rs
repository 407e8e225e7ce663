//! A provider written by hand on a TCP stream, for an API made up here, and its flaws.

mod flaw;
mod subject;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
pub(crate) use flaw::Flaw;
use shivneri_core::{
    Answer, Attempt, AttemptId, Capabilities, Cause, Doubt, Email, EmailProvider, Failure, Fault,
    ProviderId, Receipt, Scope, SendError,
};
use shivneri_testkit::contract::RECIPIENTS;
pub(crate) use subject::HandmadeSubject;
use tokio::{io::BufReader, net::TcpStream, time::timeout};
use wire::{Exchange, Progress, Response, exchange};

const KEY: &str = "hm-0f1e2d3c4b5a";

pub(crate) struct Handmade {
    id: ProviderId,
    authority: String,
    flaw: Flaw,
    kept: Mutex<Option<BufReader<TcpStream>>>,
}

impl fmt::Debug for Handmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.has(Flaw::ShowsItsKey) { KEY } else { "***" };
        f.debug_struct("Handmade").field("id", &self.id).field("key", &key).finish()
    }
}

impl Handmade {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let keep = if self.has(Flaw::ReusesClosedConnections) { "keep-alive" } else { "close" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\n\
             Connection: {keep}\r\nContent-Length: {}\r\n\r\n",
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
        if self.has(Flaw::DrawsABoundary) {
            body.extend_from_slice(AttemptId::new().to_string().as_bytes());
        }
        body.extend_from_slice(email.text().unwrap_or_default().as_bytes());
        let files = if self.has(Flaw::DropsAttachments) { &[] } else { email.attachments() };
        for file in files {
            body.extend_from_slice(file.filename().as_bytes());
            body.extend_from_slice(file.content());
        }
        body
    }

    async fn once(&self, request: Vec<u8>, limit: Duration) -> Result<Response, SendError> {
        let limit = if self.has(Flaw::IgnoresTheTimeout) {
            Duration::from_secs(60)
        } else if self.has(Flaw::HurriesAnswers) {
            Duration::from_millis(20)
        } else if self.has(Flaw::GivesUpEarly) {
            limit / 2
        } else {
            limit
        };
        let is_large = request.len() > 1 << 20;
        let progress = Progress::default();
        let call = Exchange {
            authority: self.authority.clone(),
            request,
            progress: progress.clone(),
            kept: self.kept.lock().expect("no panic under the lock").take(),
            limit: if self.has(Flaw::ReadsWithoutEnd) { usize::MAX } else { 1 << 20 },
        };
        let exchanged = if self.has(Flaw::GoesOnInTheBackground) {
            let task = tokio::spawn(exchange(call));
            timeout(limit, async { task.await.expect("the exchange does not panic") }).await
        } else {
            timeout(limit, exchange(call)).await
        };
        match exchanged {
            Ok(Ok(response))
                if self.has(Flaw::DeafWhileItWrites) && is_large && response.status >= 400 =>
            {
                Err(SendError::new(Failure::Unavailable, "the body was cut off"))
            }
            Ok(Ok(mut response)) => {
                if self.has(Flaw::ReusesClosedConnections) {
                    *self.kept.lock().expect("no panic under the lock") = response.stream.take();
                }
                Ok(response)
            }
            Ok(Err(error)) => Err(self.unanswered(&progress, &error.to_string())),
            Err(_) => Err(self.unanswered(&progress, "no answer in time")),
        }
    }

    fn unanswered(&self, progress: &Progress, detail: &str) -> SendError {
        if !progress.is_connected() {
            let error = SendError::new(Failure::Unavailable, detail);
            let blames_it = self.has(Flaw::BlamesTheServiceForTheLink);
            return if blames_it { error } else { error.caused_by(Cause::Link) };
        }
        let doubted = progress.is_handed_over() || self.has(Flaw::DoubtsWhatItNeverWrote);
        if doubted && !self.has(Flaw::CallsSilenceUnavailable) {
            SendError::new(Failure::InDoubt(Doubt::Strong), detail)
        } else {
            SendError::new(Failure::Unavailable, detail)
        }
    }

    fn outcome(&self, response: &Response) -> Result<Receipt, SendError> {
        let text = response.text.trim();
        let id = text.strip_prefix(r#"{"id":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        let code = if self.has(Flaw::IgnoresCodes) { "" } else { text };
        let pause = self.pause(response);
        let failure = match (response.status, code) {
            (200..=299, _) => match id {
                Some(_) if self.has(Flaw::MakesUpIds) => return Ok(Receipt::new("made-up")),
                Some(id) => return Ok(Receipt::new(id)),
                None if self.has(Flaw::TrustsAnySuccess) => return Ok(Receipt::new("accepted")),
                None => Failure::InDoubt(Doubt::Weak),
            },
            (400, r#"{"error":"content"}"#) => Failure::Rejected(Scope::Message),
            (400, r#"{"error":"first recipient"}"#) => {
                let bad = RECIPIENTS[0].parse().expect("a valid address");
                Failure::Rejected(Scope::Recipients(vec![bad]))
            }
            (507, r#"{"error":"not taken"}"#) => Failure::Unavailable,
            (401 | 403, _) if !self.has(Flaw::BlamesTheMailForTheKey) => {
                Failure::AccountFault(Fault::Key)
            }
            (402, _) => Failure::AccountFault(Fault::Quota),
            (413, _) if !self.has(Flaw::CondemnsLargeMail) => Failure::Unsupported,
            (429, _) => Failure::Throttled { retry_after: pause },
            (503, _) if pause.is_some() && !self.has(Flaw::ForgetsThePauseOfA503) => {
                Failure::Throttled { retry_after: pause }
            }
            (503, _) if self.has(Flaw::TakesA503ForProof) => Failure::Unavailable,
            (400..=499, _) if self.has(Flaw::CondemnsAny4xx) => Failure::Rejected(Scope::Message),
            (400..=499, _) => Failure::Rejected(Scope::Unexplained),
            _ => Failure::InDoubt(Doubt::Weak),
        };
        let detail = if self.has(Flaw::RepeatsAnswers) { text } else { "an answer" };
        Err(SendError::new(failure, detail).with_answer(Answer::new(response.status, text)))
    }

    fn pause(&self, response: &Response) -> Option<Duration> {
        let value = response.retry_after.as_deref().filter(|_| !self.has(Flaw::ForgetsThePause))?;
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
        if self.has(Flaw::RefusesOtherScripts) && !email.subject().is_ascii() {
            return Err(SendError::new(Failure::Unsupported, "an alphabet it does not know"));
        }
        let body = self.body(email);
        let send = |path: &str| self.once(self.request("POST", path, &body), attempt.timeout);
        let mut response = send("/send").await;
        if self.has(Flaw::Retries) && response.as_ref().map_or(true, |r| r.status >= 500) {
            response = send("/send").await;
        }
        let response = response?;
        match response.location.as_deref().and_then(|to| to.find("/elsewhere").map(|at| &to[at..]))
        {
            Some(path) if self.has(Flaw::FollowsRedirects) => self.outcome(&send(path).await?),
            _ => self.outcome(&response),
        }
    }

    async fn probe(&self) -> Result<(), SendError> {
        let by_mail = self.has(Flaw::ProbesByMail);
        let (method, path) = if by_mail { ("POST", "/send?dry") } else { ("GET", "/account") };
        let limit = Duration::from_secs(5);
        let response = self.once(self.request(method, path, b""), limit).await?;
        let status = response.status;
        if self.has(Flaw::ProbesRedAlways) {
            return Err(SendError::new(Failure::AccountFault(Fault::Key), "the key is wrong"));
        }
        let green = status == 200
            || self.has(Flaw::ProbesGreenAlways)
            || status == 503 && self.has(Flaw::ProbesGreenAfterA503);
        if green { Ok(()) } else { self.outcome(&response).map(|_| ()) }
    }
}
