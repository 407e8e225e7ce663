//! Amazon Simple Email Service, API v2.
//!
//! Source: <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>.
//!
//! SES has no idempotency key; its events carry the id that travels as the message tag
//! `shivneri_id`. Tags and metadata go along as message tags as far as their characters allow
//! (`A-Z a-z 0-9 _ -`). SES writes `Message-ID` and `Date` itself.

mod answer;
mod credentials;
mod request;
mod sign;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde::Deserialize;
use shivneri_core::{Attempt, Capabilities, Email, EmailProvider, ProviderId, Receipt, SendError};

use crate::{
    BuildError, Secret, address,
    catalog::Kind,
    http::{Http, Request},
    settings,
};
use credentials::Credentials;

/// The account's settings.
///
/// Without a key here, key, secret and session token are those of the environment:
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; the region then is
/// `AWS_REGION` or `AWS_DEFAULT_REGION`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The id of an access key that may `ses:SendEmail` and, to be probed, `ses:GetAccount`.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Its secret.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The token of a key that is temporary.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// The region, as `eu-west-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// Another address of the API than the region's.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The longest that an answer may take; default: as long as the attempt allows.
    #[serde(default, deserialize_with = "settings::timeout")]
    pub timeout: Option<Duration>,
    /// Refused where it is on: SES can't check an email without sending it.
    #[serde(default, deserialize_with = "settings::switch")]
    pub test_mode: bool,
}

/// An account at Amazon SES, in one region.
#[derive(Debug)]
pub struct Ses {
    id: ProviderId,
    timeout: Option<Duration>,
    credentials: Credentials,
    http: Http,
    capabilities: Arc<Capabilities>,
}

impl Ses {
    /// An account with these settings; nothing is called yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`], which names the setting that is missing or not right.
    pub fn new(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        if config.test_mode {
            let reason = "is not there: the service has none; its mailbox simulator \
                          (success@simulator.amazonses.com) takes test mail";
            return Err(BuildError::setting(Self::NAME, "test_mode", reason));
        }
        let credentials = Credentials::find(&config, |name| std::env::var(name).ok())?;
        let of_region = credentials.endpoint();
        let base = config.base_url.as_deref().unwrap_or(&of_region);
        let http = Http::new(base, config.timeout, credentials.secrets())
            .map_err(|error| BuildError::setting(Self::NAME, "base_url", error))?;
        let capabilities = Arc::new(Capabilities {
            max_recipients: 50,
            max_bytes: 40_000_000,
            ..Capabilities::default()
        });
        Ok(Self { id, timeout: config.timeout, credentials, http, capabilities })
    }

    /// Signs the request with the present time; SES takes a signature for five minutes.
    fn signed(&self, request: Request) -> Request {
        let url = self.http.url(&request.path);
        let headers = sign::headers(&self.credentials, &request, &url, SystemTime::now());
        headers.into_iter().fold(request, |request, (name, value)| request.with(name, value))
    }
}

impl Kind for Ses {
    const NAME: &'static str = "ses";
    type Config = Config;

    fn build(id: ProviderId, config: Config) -> Result<Self, BuildError> {
        Self::new(id, config)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

#[async_trait]
impl EmailProvider for Ses {
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
        let request = self.signed(request::build(email)?);
        let reply = self.http.call(request, attempt.timeout).await?;
        answer::judge(&reply)
    }

    async fn probe(&self) -> Result<(), SendError> {
        let request = self.signed(Request::get("/v2/email/account"));
        self.http.probe(request, answer::judge_account).await
    }
}

#[cfg(test)]
mod tests;
