//! Problem details (RFC 9457), as the API answers errors.

use std::{fmt::Write, time::Duration};

use reqwest::StatusCode;
use serde::Deserialize;

use crate::render::clean;

/// A refusal of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: u16,
    title: String,
    detail: Option<String>,
    code: Option<String>,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Wire {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    #[serde(default)]
    errors: Vec<WireField>,
}

#[derive(Deserialize)]
struct WireField {
    field: String,
    reason: String,
}

impl Problem {
    /// Reads a body; one that is no problem document gives the status alone.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let wire = serde_json::from_slice::<Wire>(body).ok();
        let named = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        let named = named.map_or_else(|| format!("HTTP {status}"), str::to_owned);
        match wire {
            Some(wire) => Self {
                status,
                title: clean(&wire.title.unwrap_or(named)),
                detail: wire.detail.map(|text| clean(&text)).filter(|text| !text.is_empty()),
                code: wire.code,
                fields: wire
                    .errors
                    .into_iter()
                    .map(|error| (clean(&error.field), clean(&error.reason)))
                    .collect(),
                retry_after,
            },
            None => Self {
                status,
                title: named,
                detail: Some(format!("HTTP {status} without a word of Shivneri's")),
                code: None,
                fields: Vec::new(),
                retry_after,
            },
        }
    }

    /// A refusal that this program pronounces itself, before the server is asked.
    pub(crate) fn local(title: &str, detail: String) -> Self {
        let detail = Some(clean(&detail));
        let (title, fields) = (title.to_owned(), Vec::new());
        Self { status: 0, title, detail, code: None, fields, retry_after: None }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the server asks to come again later: 429 or 503.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The API's stable word for it.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// `<title>: <detail>`.
    pub(crate) fn headline(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.title),
            None => self.title.clone(),
        }
    }

    /// One line for each field that isn't valid.
    pub(crate) fn field_lines(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|(field, reason)| format!("{field}: {reason}"))
    }

    /// The headline, a line for each field, and what helps.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.headline();
        for line in self.field_lines() {
            let _ = write!(text, "\n  {line}");
        }
        match (self.status, self.retry_after) {
            (401, _) => text.push_str("\n  put an API key of this server into SHIVNERI_API_KEY"),
            (_, Some(wait)) if self.is_busy() => {
                let _ = write!(text, "\n  the server asks to come again in {} s", wait.as_secs());
            }
            (_, _) => {}
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_title_its_detail_and_each_field() {
        let body = br#"{"type":"https://shivneri.dev/problems/invalid","title":"Invalid message",
            "status":422,"code":"invalid","detail":"2 fields are not valid",
            "errors":[{"field":"to[0]","reason":"the address has no @"},
                      {"field":"subject","reason":"too long"}]}"#;
        let problem = Problem::read(422, None, body);
        let expected = "Invalid message: 2 fields are not valid\n  to[0]: the address has no @\n  \
                        subject: too long";
        assert_eq!(problem.describe(), expected);
        assert_eq!(problem.code(), Some("invalid"));
    }

    #[test]
    fn an_answer_of_something_else_is_named_by_its_status() {
        let problem = Problem::read(404, None, b"<html>nginx</html>");
        assert_eq!(problem.describe(), "Not Found: HTTP 404 without a word of Shivneri's");
    }

    #[test]
    fn a_missing_key_comes_with_the_place_to_put_one() {
        let problem = Problem::read(401, None, br#"{"title":"Unauthorized"}"#);
        assert!(problem.describe().contains("SHIVNERI_API_KEY"));
    }

    #[test]
    fn a_server_can_not_write_control_sequences_to_the_terminal() {
        let problem = Problem::read(409, None, br#"{"title":"a\u001b[2Jb","detail":"c\nd"}"#);
        assert!(!problem.describe().contains(['\u{1b}', '\n']), "{:?}", problem.describe());
    }
}
