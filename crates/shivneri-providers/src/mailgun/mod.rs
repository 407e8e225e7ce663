//! Mailgun (Sinch), messages v3.
//!
//! Source: <https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>.
//!
//! Mailgun has no idempotency key; its events carry the id that travels as the variable
//! `shivneri_id`. Variables, an email's metadata among them, are also written into the header
//! `X-Mailgun-Variables`, which recipients can read. The first ten tags in ASCII go along. An inline part
//! is named by its content id, because Mailgun makes the id of the file's name.

mod answer;
mod multipart;
mod request;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use serde::Deserialize;
use shivneri_core::{
    Attempt, Capabilities, Email, EmailProvider, Failure, Fault, ProviderId, Receipt, SendError,
};

use crate::{
    BuildError, Region, Secret, address,
    catalog::Kind,
    http::{Http, Request},
    settings,
};

/// The account's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The account's key or the domain's sending key.
    pub api_key: Secret,
    /// The sending domain, as `mg.example.com`.
    pub domain: String,
    /// Where the account lives; default `us`.
    #[serde(default)]
    pub region: Region,
    /// Another address of the API than the region's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The longest that an answer may take; default: as long as the attempt allows.
    #[serde(default, deserialize_with = "settings::timeout")]
    pub timeout: Option<Duration>,
    /// Has Mailgun accept each email and deliver none. It still charges for them.
    #[serde(default, deserialize_with = "settings::switch")]
    pub test_mode: bool,
}

impl Config {
    /// Everything else as by default.
    pub fn new(api_key: Secret, domain: impl Into<String>) -> Self {
        let (domain, region) = (domain.into(), Region::default());
        Self { api_key, domain, region, base_url: None, timeout: None, test_mode: false }
    }
}

/// A sending domain at Mailgun.
#[derive(Debug)]
pub struct Mailgun {
    id: ProviderId,
    config: Config,
    /// `/v3/{domain}/messages`.
    path: String,
    authorization: HeaderValue,
    http: Http,
    capabilities: Arc<Capabilities>,
}

impl Mailgun {
    /// An account with these settings; nothing is called yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`], which names the setting that is not right.
    pub fn new(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        let token = Secret::new(STANDARD.encode(format!("api:{}", config.api_key.expose())));
        let mut authorization = HeaderValue::from_str(&format!("Basic {}", token.expose()))
            .map_err(|_| BuildError::setting(Self::NAME, "api_key", "can't be sent"))?;
        authorization.set_sensitive(true);
        let domain = domain_name(&config.domain)
            .ok_or_else(|| BuildError::setting(Self::NAME, "domain", "is not a domain name"))?;
        let base = config.base_url.as_deref().unwrap_or(match config.region {
            Region::Us => "https://api.mailgun.net",
            Region::Eu => "https://api.eu.mailgun.net",
        });
        let http = Http::new(base, config.timeout, [config.api_key.clone(), token])
            .map_err(|error| BuildError::setting(Self::NAME, "base_url", error))?;
        let capabilities = Arc::new(Capabilities {
            max_recipients: 1000,
            max_bytes: 25 << 20,
            ..Capabilities::default()
        });
        let path = format!("/v3/{domain}/messages");
        Ok(Self { id, config, path, authorization, http, capabilities })
    }

    fn authorized(&self, request: Request) -> Request {
        request.with(header::AUTHORIZATION, self.authorization.clone())
    }
}

/// The domain in ASCII. A slash, even an escaped one, would make Mailgun answer 200 from another
/// place of its API.
fn domain_name(text: &str) -> Option<String> {
    let domain = idna::domain_to_ascii(text.trim()).ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!domain.is_empty() && domain.chars().all(fits)).then_some(domain)
}

impl Kind for Mailgun {
    const NAME: &'static str = "mailgun";
    type Config = Config;

    fn build(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        Self::new(id, config)
    }

    fn timeout(&self) -> Option<Duration> {
        self.config.timeout
    }
}

#[async_trait]
impl EmailProvider for Mailgun {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn kind(&self) -> &str {
        Self::NAME
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities)
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        address::check(&self.capabilities, email)?;
        let request = request::build(&self.path, email, self.config.test_mode)?;
        let reply = self.http.call(self.authorized(request), attempt.timeout).await?;
        answer::judge(&reply, email)
    }

    /// Asks for the account's domains. A domain's sending key may not ask that; it proves itself
    /// by a message without any field, which is refused as such.
    async fn probe(&self) -> Result<(), SendError> {
        let domains = self.authorized(Request::get("/v4/domains?limit=1"));
        let probed = self.http.probe(domains, answer::judge_domains).await;
        let refused = probed
            .as_ref()
            .is_err_and(|error| *error.failure() == Failure::AccountFault(Fault::Key));
        if refused {
            let nothing = self.authorized(request::without_fields(&self.path));
            return self.http.probe(nothing, answer::judge_nothing).await;
        }
        probed
    }
}

#[cfg(test)]
mod tests;
