//! Where the key comes from.

use http::HeaderValue;

use super::{Config, Ses};
use crate::{BuildError, Secret, catalog::Kind};

/// A key for one region.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
    pub(super) region: String,
    pub(super) service: &'static str,
}

impl Credentials {
    /// The settings' key, or else the environment's; never half of each.
    pub(super) fn find(
        config: &Config,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BuildError> {
        let environment = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let missing = |key: &str, names: &str| {
            BuildError::setting(Ses::NAME, key, format!("is missing, and {names} is not set"))
        };
        let (access_key_id, secret_access_key, session_token) =
            match (&config.access_key_id, &config.secret_access_key) {
                (Some(id), Some(secret)) => {
                    (id.clone(), secret.clone(), config.session_token.clone())
                }
                (Some(_), None) => return Err(half("secret_access_key")),
                (None, Some(_)) => return Err(half("access_key_id")),
                (None, None) => {
                    let secret = |name: &str| environment(name).map(Secret::new);
                    let id = environment("AWS_ACCESS_KEY_ID")
                        .ok_or_else(|| missing("access_key_id", "AWS_ACCESS_KEY_ID"))?;
                    let key = secret("AWS_SECRET_ACCESS_KEY")
                        .ok_or_else(|| missing("secret_access_key", "AWS_SECRET_ACCESS_KEY"))?;
                    let token = config.session_token.clone();
                    (id, key, token.or_else(|| secret("AWS_SESSION_TOKEN")))
                }
            };
        let region = config.region.clone().filter(|region| !region.trim().is_empty());
        let region = region
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .ok_or_else(|| missing("region", "neither AWS_REGION nor AWS_DEFAULT_REGION"))?;
        let found = Self {
            access_key_id: access_key_id.trim().to_owned(),
            secret_access_key,
            session_token,
            region: region.trim().to_owned(),
            service: "ses",
        };
        found.check()
    }

    /// All that is sent fits into a header, and the region into a host name.
    fn check(self) -> Result<Self, BuildError> {
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !word(&self.access_key_id) {
            return Err(BuildError::setting(Ses::NAME, "access_key_id", "is no key's id"));
        }
        if !word(&self.region) {
            return Err(BuildError::setting(Ses::NAME, "region", "is no region"));
        }
        let token = self.session_token.as_ref();
        if token.is_some_and(|token| HeaderValue::from_str(token.expose()).is_err()) {
            let reason = "holds characters no token has";
            return Err(BuildError::setting(Ses::NAME, "session_token", reason));
        }
        Ok(self)
    }

    /// The API's address in the region.
    pub(super) fn endpoint(&self) -> String {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://email.{}.amazonaws.com{suffix}", self.region)
    }

    /// What no answer may show.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        std::iter::once(self.secret_access_key.clone()).chain(self.session_token.clone())
    }
}

fn half(key: &str) -> BuildError {
    BuildError::setting(Ses::NAME, key, "is missing, though the other half of the key is given")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVIRONMENT: [(&str, &str); 4] = [
        ("AWS_ACCESS_KEY_ID", "AKIDENV"),
        ("AWS_SECRET_ACCESS_KEY", "env-secret"),
        ("AWS_SESSION_TOKEN", "env-token"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ];

    fn without<'a>(gone: &'a str) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            let found = ENVIRONMENT.iter().find(|(known, _)| *known == name && *known != gone);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_environment_gives_the_key_that_the_settings_lack() {
        let found = Credentials::find(&Config::default(), without("")).unwrap();
        assert_eq!(found.access_key_id, "AKIDENV");
        assert_eq!(found.session_token.unwrap().expose(), "env-token");
        assert_eq!(found.region, "eu-west-1");
        for (gone, key) in [
            ("AWS_ACCESS_KEY_ID", "access_key_id"),
            ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
            ("AWS_DEFAULT_REGION", "region"),
        ] {
            let error = Credentials::find(&Config::default(), without(gone)).unwrap_err();
            assert!(error.to_string().contains(key) && error.to_string().contains(gone), "{error}");
        }
    }

    #[test]
    fn a_key_in_the_settings_is_never_mixed_with_the_environments() {
        let secret_access_key = Some(Secret::new("secret"));
        let half = Config { secret_access_key, ..Config::default() };
        assert!(Credentials::find(&half, without("")).is_err());
        let whole = Config { access_key_id: Some("AKID".into()), ..half };
        let found = Credentials::find(&whole, without("")).unwrap();
        assert_eq!(found.access_key_id, "AKID");
        assert!(found.session_token.is_none());
        assert_eq!(found.endpoint(), "https://email.eu-west-1.amazonaws.com");
    }
}
