//! Twilio SendGrid, Mail Send v3.
//!
//! Source: <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>.
//!
//! SendGrid has no idempotency key and can't be asked about a message; its events carry the id
//! that travels as the custom argument `shivneri_id`. Of an email's tags the first ten in
//! ASCII go along as categories, of its metadata as much as fits into 10,000 bytes as custom arguments.

mod answer;
mod request;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{HeaderValue, header};
use serde::Deserialize;
use shivneri_core::{Attempt, Capabilities, Email, EmailProvider, ProviderId, Receipt, SendError};

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
    /// A key with the scope `mail.send`.
    pub api_key: Secret,
    /// Where the account lives; default `us`.
    #[serde(default)]
    pub region: Region,
    /// Another address of the API than the region's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The longest that an answer may take; default: as long as the attempt allows.
    #[serde(default, deserialize_with = "settings::timeout")]
    pub timeout: Option<Duration>,
    /// Has SendGrid check each email and send none (its sandbox mode).
    #[serde(default, deserialize_with = "settings::switch")]
    pub test_mode: bool,
}

impl Config {
    /// Everything but the key as by default.
    pub fn new(api_key: Secret) -> Self {
        let region = Region::default();
        Self { api_key, region, base_url: None, timeout: None, test_mode: false }
    }
}

/// An account at SendGrid.
#[derive(Debug)]
pub struct SendGrid {
    id: ProviderId,
    config: Config,
    authorization: HeaderValue,
    http: Http,
    capabilities: Arc<Capabilities>,
}

impl SendGrid {
    /// An account with these settings; nothing is called yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`], which names the setting that is not right.
    pub fn new(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", config.api_key.expose())).map_err(
                |_| BuildError::setting(Self::NAME, "api_key", "holds characters no key has"),
            )?;
        authorization.set_sensitive(true);
        let base = config.base_url.as_deref().unwrap_or(match config.region {
            Region::Us => "https://api.sendgrid.com",
            Region::Eu => "https://api.eu.sendgrid.com",
        });
        let http = Http::new(base, config.timeout, [config.api_key.clone()])
            .map_err(|error| BuildError::setting(Self::NAME, "base_url", error))?;
        let capabilities = Arc::new(Capabilities {
            max_recipients: 1000,
            max_bytes: 30_000_000,
            ..Capabilities::default()
        });
        Ok(Self { id, config, authorization, http, capabilities })
    }

    fn authorized(&self, request: Request) -> Request {
        request
            .with(header::AUTHORIZATION, self.authorization.clone())
            .with(header::ACCEPT, HeaderValue::from_static("application/json"))
    }
}

impl Kind for SendGrid {
    const NAME: &'static str = "sendgrid";
    type Config = Config;

    fn build(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        Self::new(id, config)
    }

    fn timeout(&self) -> Option<Duration> {
        self.config.timeout
    }
}

#[async_trait]
impl EmailProvider for SendGrid {
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
        let request = self.authorized(request::build(email, self.config.test_mode)?);
        let reply = self.http.call(request, attempt.timeout).await?;
        answer::judge(&reply, email, self.config.test_mode)
    }

    async fn probe(&self) -> Result<(), SendError> {
        let request = self.authorized(Request::get("/v3/scopes"));
        self.http.probe(request, answer::judge_scopes).await
    }
}

#[cfg(test)]
mod tests;
