//! The one way in which every provider speaks HTTP, so that doubt is measured alike.
//!
//! One client per provider: no retries, no redirects, 5 s to connect, idle connections dropped
//! after 4 s (one that the service closed while it lay idle would look like doubt). A request's
//! body is handed over in pieces by [`Handover`], which remembers whether the last byte has left
//! our hands: a failure before that moment is certainly not sent, one after it perhaps is.

mod classify;
mod handover;
mod redact;
mod reply;
mod trouble;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Certificate, ClientBuilder, Url, redirect::Policy};
use shivneri_core::{Failure, SendError};

pub(crate) use classify::classify;
use handover::{Handover, Progress};
pub(crate) use redact::Redact;
pub(crate) use reply::{Reply, honoured, http_date};
use trouble::Trouble;

use crate::settings::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How much of an answer is read; the rest is dropped unread.
const MAX_ANSWER: usize = 64 << 10;
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A whole request but for the base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query, beginning with `/`.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Asks for something.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        let (path, headers) = (path.into(), HeaderMap::new());
        Self { method: Method::GET, path, headers, body: Bytes::new() }
    }

    /// Hands something over.
    pub(crate) fn post(path: impl Into<String>, content_type: HeaderValue, body: Bytes) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self { method: Method::POST, path: path.into(), headers, body }
    }

    /// The same with one header more.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Why a base URL can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BaseUrlError {
    #[error("is not a URL")]
    NoUrl,
    #[error("is neither http nor https")]
    Scheme,
    #[error("holds a user name, a query or a fragment")]
    Extra,
}

/// A client for one service.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    /// The longest that a call may take, where the account's own settings say so.
    limit: Option<Duration>,
    redact: Arc<Redact>,
}

impl Http {
    /// A client for the service at `base_url`, whose answers never show one of `secrets`.
    pub(crate) fn new(
        base_url: &str,
        limit: Option<Duration>,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, BaseUrlError> {
        let base = base_of(base_url)?;
        let redact = Arc::new(Redact::new(secrets));
        Ok(Self { client: client(settings), base, limit, redact })
    }

    /// The whole URL of a path, as it will be called.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Puts one request and waits for the complete answer, at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError`] where no complete answer came: `Unavailable` if the request's last byte was
    /// not handed over, else `InDoubt(Strong)`.
    pub(crate) async fn call(
        &self,
        request: Request,
        timeout: Duration,
    ) -> Result<Reply, SendError> {
        let timeout = self.limit.map_or(timeout, |limit| limit.min(timeout));
        let progress = Arc::new(Progress::default());
        let body = Handover::new(request.body, Arc::clone(&progress));
        let call = self
            .client
            .request(request.method, self.url(&request.path))
            .headers(request.headers)
            .body(reqwest::Body::wrap(body))
            .send();
        let exchange = async {
            let response = call.await.map_err(Trouble::Call)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read(response).await.map_err(|error| Trouble::Cut(status, error))?;
            #[cfg(feature = "failpoints")]
            shivneri_failpoint::hit("answer.read");
            let handed_over = progress.is_handed_over();
            Ok::<_, Trouble>(Reply {
                status,
                headers,
                body,
                handed_over,
                redact: Arc::clone(&self.redact),
            })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(trouble)) => Err(trouble.into_error(&progress)),
            Err(_) => Err(Trouble::Timeout(timeout).into_error(&progress)),
        }
    }

    /// Puts a question that sends nothing, and judges the answer.
    ///
    /// # Errors
    ///
    /// [`SendError`] that is neither in doubt nor a rejection.
    pub(crate) async fn probe(
        &self,
        request: Request,
        judge: impl Fn(&Reply) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let reply = self.call(request, PROBE_TIMEOUT).await.map_err(of_probe)?;
        judge(&reply).map_err(of_probe)
    }
}

/// A probe sends nothing, so its failure is neither in doubt nor a word about any message.
fn of_probe(error: SendError) -> SendError {
    match error.failure() {
        Failure::InDoubt(_) | Failure::Rejected(_) => {
            let certain = SendError::new(Failure::Unavailable, error.detail());
            let certain = certain.caused_by(error.cause());
            match error.answer() {
                Some(answer) => certain.with_answer(answer.clone()),
                None => certain,
            }
        }
        Failure::Unsupported
        | Failure::AccountFault(_)
        | Failure::Throttled { .. }
        | Failure::Unavailable => error,
    }
}

fn base_of(text: &str) -> Result<Url, BaseUrlError> {
    let url = Url::parse(text.trim()).map_err(|_| BaseUrlError::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BaseUrlError::Scheme);
    }
    if !url.has_host() {
        return Err(BaseUrlError::NoUrl);
    }
    let extra = url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    if extra { Err(BaseUrlError::Extra) } else { Ok(url) }
}

async fn read(mut response: reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut kept = BytesMut::new();
    while kept.len() < MAX_ANSWER {
        let Some(chunk) = response.chunk().await? else { break };
        let room = MAX_ANSWER - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(kept.freeze())
}

fn settings() -> ClientBuilder {
    reqwest::Client::builder()
        .retry(reqwest::retry::never())
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("shivneri/", env!("CARGO_PKG_VERSION")))
}

/// Trusts what the system trusts. A minimal container has no certificates at all; there Mozilla's
/// roots are used as this build carries them, instead of not starting.
fn client(settings: impl Fn() -> ClientBuilder) -> reqwest::Client {
    settings().build().unwrap_or_else(|error| {
        let error = trouble::root(&error);
        tracing::warn!(%error, "no system certificates, using the ones built in");
        settings()
            .tls_certs_only(built_in_roots())
            .build()
            .expect("roots that are part of the build need nothing of the system")
    })
}

fn built_in_roots() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| {
        Certificate::from_der(der).expect("a root that is part of the build is well formed")
    })
}

#[cfg(test)]
mod tests;
