//! The forms in which settings are given. Every value may also come as text, because a command
//! line and the environment know nothing else.

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// A key, token or password. Shows itself as `***`; white space around it is dropped, since files
/// end in a line break.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl AsRef<str>) -> Self {
        Self(SecretString::from(secret.as_ref().trim()))
    }

    /// The secret itself, for the place where it is sent.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Takes text that is not empty. Errors don't repeat what was given.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text.trim().is_empty() => Err(D::Error::custom("is empty")),
            Value::String(text) => Ok(Self::new(text)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Err(D::Error::custom("is not text")),
        }
    }
}

/// Where a service has several homes, the one the account lives in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// The service's first home.
    #[default]
    Us,
    /// The European Union.
    Eu,
}

/// A duration that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a duration such as \"500ms\", \"60s\", \"5m\" or \"1h\"")]
pub struct DurationError;

/// Reads a duration: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// [`DurationError`] where it is not one, or too long to count.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(shivneri_providers::parse_duration("500ms"), Ok(Duration::from_millis(500)));
/// assert!(shivneri_providers::parse_duration("60").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError)?;
    let (count, unit) = text.split_at(unit_at);
    let count: u64 = count.parse().map_err(|_| DurationError)?;
    let millis: u64 = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DurationError),
    };
    count.checked_mul(millis).map(Duration::from_millis).ok_or(DurationError)
}

/// A duration as text.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => parse_duration(&text).map_err(D::Error::custom),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(D::Error::custom(DurationError))
        }
    }
}

/// A time to wait for an answer: a duration above zero, or absent.
pub(crate) fn timeout<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let timeout = duration(deserializer)?;
    if timeout.is_zero() { Err(D::Error::custom("is zero")) } else { Ok(Some(timeout)) }
}

/// A switch, as `true` or `"true"`.
pub(crate) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let switch = value.as_bool().or_else(|| value.as_str()?.trim().parse().ok());
    switch.ok_or_else(|| D::Error::custom("is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_only() {
        for (text, millis) in
            [("500ms", 500), ("60s", 60_000), (" 5 m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "60", "s", "-1s", "1.5s", "1w", "1 s s", "99999999999999999999d"] {
            assert_eq!(parse_duration(text), Err(DurationError), "{text}");
        }
        assert!(parse_duration("18446744073709551615d").is_err());
    }

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new(" canary\n");
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("canary", "***"));
        for wrong in [serde_json::json!(31337), serde_json::json!(["canary"])] {
            let error = serde_json::from_value::<Secret>(wrong).unwrap_err().to_string();
            assert_eq!(error, "is not text");
        }
    }
}
