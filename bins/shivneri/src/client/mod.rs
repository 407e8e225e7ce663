//! The server's HTTP API, one call at a time.

mod error;
mod pace;
mod problem;

use std::time::Duration;

use anyhow::Context;
use reqwest::{
    Certificate, ClientBuilder, Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};
use tokio::time::Instant;

pub(crate) use error::Error;
pub(crate) use pace::{Pace, draw};
pub(crate) use problem::Problem;

use crate::exit::usage;

/// How long an operator's command waits in all for a server that asks to come again later.
const PATIENCE: Duration = Duration::from_secs(30);

/// Speaks to one server.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<HeaderValue>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// Whether an earlier request with the same key brought what it tells of.
    pub(crate) replayed: bool,
}

/// One call to make.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<bytes::Bytes>,
    idempotency_key: Option<String>,
}

impl Call {
    /// A call of `method` on the path of these segments; they are escaped as they need.
    pub(crate) fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        Self { method, path, query: Vec::new(), body: None, idempotency_key: None }
    }

    /// A GET.
    pub(crate) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST.
    pub(crate) fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    /// With these query parameters.
    pub(crate) fn query(mut self, query: Vec<(&'static str, String)>) -> Self {
        self.query = query;
        self
    }

    /// With this JSON body.
    pub(crate) fn body(mut self, json: impl Into<bytes::Bytes>) -> Self {
        self.body = Some(json.into());
        self
    }

    /// With an `Idempotency-Key`, so that it may be made again when its answer was lost.
    pub(crate) fn idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = Some(key.to_owned());
        self
    }
}

impl Client {
    /// For the server at `url`, with this API key if there is one.
    ///
    /// # Errors
    ///
    /// Usage errors: the URL is no HTTP URL, or the key can't stand in a header.
    pub(crate) fn new(url: &str, key: Option<&str>) -> anyhow::Result<Self> {
        let base: Url = url.parse().map_err(|error| usage(format!("--url {url:?}: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(usage(format!("--url {url:?} is not of the form http://host:port")));
        }
        let key = match key.map(str::trim).filter(|key| !key.is_empty()) {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                    .map_err(|_| usage("SHIVNERI_API_KEY holds characters no key has"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let http = http_client(is_loopback(&base)).context("can't set up the HTTP client")?;
        Ok(Self { http, base, key })
    }

    /// The server's URL as it is shown to people.
    pub(crate) fn shown_url(&self) -> String {
        let mut url = self.base.clone();
        // Neither can fail on a URL with a host.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.as_str().trim_end_matches('/').to_owned()
    }

    fn url(&self, call: &Call) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an http URL has path segments")
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    /// Makes the call once and gives the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] where the request never left, [`Error::Lost`] where no whole answer
    /// came back.
    pub(crate) async fn once(&self, call: &Call) -> Result<(Answer, Option<Duration>), Error> {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let failed = |error| Error::of_transport(self.shown_url(), &error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after
            .and_then(|value| pace::retry_after(value.to_str().ok()?, jiff::Timestamp::now()));
        let replayed = response.headers().get("idempotency-replayed");
        let replayed = replayed.is_some_and(|value| value == "true");
        let body = response.bytes().await.map_err(failed)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((Answer { status, body, replayed }, retry_after))
    }

    /// Makes the call once; anything but a 2xx is an error.
    ///
    /// # Errors
    ///
    /// Those of [`once`](Self::once), and [`Error::Refused`] with what the server says.
    pub(crate) async fn try_once(&self, call: &Call) -> Result<Answer, Error> {
        let (answer, retry_after) = self.once(call).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status.as_u16();
        Err(Error::Refused(Problem::read(status, retry_after, answer.body.as_bytes())))
    }

    /// Makes an operator's call. A server that asks to come again later is asked again for up to
    /// 30 seconds; one that isn't there is reported at once.
    ///
    /// # Errors
    ///
    /// Those of [`try_once`](Self::try_once).
    pub(crate) async fn call(&self, call: &Call) -> Result<String, Error> {
        let mut pace = Pace::new(PATIENCE);
        loop {
            let error = match self.try_once(call).await {
                Ok(answer) => return Ok(answer.body),
                Err(error) => error,
            };
            let again = match &error {
                Error::Refused(problem) if problem.is_busy() => {
                    pace.busy(Instant::now(), problem.retry_after(), draw())
                }
                Error::Refused(_)
                | Error::Unreachable { .. }
                | Error::Lost { .. }
                | Error::Strange { .. } => None,
            };
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => return Err(error),
            }
        }
    }

    /// An answer's JSON as `T`.
    ///
    /// # Errors
    ///
    /// [`Error::Strange`] where it is something else.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self, body: &str) -> Result<T, Error> {
        serde_json::from_str(body)
            .map_err(|error| Error::Strange { url: self.shown_url(), reason: error.to_string() })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// No proxy stands between this machine and itself, whatever the environment says.
fn http_client(loopback: bool) -> reqwest::Result<reqwest::Client> {
    let settings = || -> ClientBuilder {
        let settings = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(60))
            .pool_idle_timeout(Duration::from_secs(4))
            .user_agent(concat!("shivneri-cli/", env!("CARGO_PKG_VERSION")));
        if loopback { settings.no_proxy() } else { settings }
    };
    // A minimal container has no certificates of its own; Mozilla's roots stand in.
    settings().build().or_else(|_| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let roots: reqwest::Result<Vec<_>> =
            roots.iter().map(|der| Certificate::from_der(der)).collect();
        settings().tls_certs_only(roots?).build()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(base: &str, call: &Call) -> String {
        Client::new(base, None).unwrap().url(call).to_string()
    }

    #[test]
    fn a_base_url_may_end_in_a_slash_or_a_path() {
        let call = Call::get(&["v1", "messages"]);
        for (base, url) in [
            ("http://h:1", "http://h:1/v1/messages"),
            ("http://h:1/", "http://h:1/v1/messages"),
            ("https://h/mail/", "https://h/mail/v1/messages"),
        ] {
            assert_eq!(url_of(base, &call), url);
        }
    }

    #[test]
    fn what_the_user_types_can_not_leave_its_place_in_the_url() {
        let call = Call::get(&["v1", "messages", "a/../b?x#y"]);
        assert_eq!(url_of("http://h:1", &call), "http://h:1/v1/messages/a%2F..%2Fb%3Fx%23y");
        let call = Call::get(&["v1"]).query(vec![("q", "a&b=c d".into())]);
        assert_eq!(url_of("http://h:1", &call), "http://h:1/v1?q=a%26b%3Dc+d");
    }

    #[test]
    fn a_url_that_is_none_and_a_key_that_can_be_none_are_usage_errors() {
        for url in ["127.0.0.1:8525", "ftp://h", "mailto:a@b", ""] {
            let error = Client::new(url, None).unwrap_err();
            assert_eq!(crate::exit::of(&error).code(), 2, "{url:?}");
        }
        let error = Client::new("http://h", Some("a\nb")).unwrap_err();
        assert!(!error.to_string().contains("a\nb"), "the key is not shown");
    }

    #[test]
    fn neither_key_nor_password_is_shown() {
        let client = Client::new("http://u:hunter2@h:1", Some("k-secret")).unwrap();
        assert_eq!(client.shown_url(), "http://h:1");
        assert!(!format!("{:?}", client.key).contains("k-secret"));
    }

    #[test]
    fn loopback_is_known_by_name_and_by_number() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.8.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
