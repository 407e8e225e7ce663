//! Errors as RFC 9457 problem details.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shivneri_core::draft::FieldError;

/// What went wrong, in a word that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    NotJson,
    Unauthorized,
    Forbidden,
    SenderNotAllowed,
    NotFound,
    UnknownMessage,
    UnknownProvider,
    UnknownAgent,
    NoMailbox,
    MailboxElsewhere,
    MethodNotAllowed,
    RequestTimeout,
    ProviderDisabled,
    MessageState,
    PastRetention,
    AgentExists,
    RequestInProgress,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidField,
    IdempotencyKeyReused,
    Unavailable,
}

impl Code {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 22] = [
        Self::NotJson,
        Self::Unauthorized,
        Self::Forbidden,
        Self::SenderNotAllowed,
        Self::NotFound,
        Self::UnknownMessage,
        Self::UnknownProvider,
        Self::UnknownAgent,
        Self::NoMailbox,
        Self::MailboxElsewhere,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::ProviderDisabled,
        Self::MessageState,
        Self::PastRetention,
        Self::AgentExists,
        Self::RequestInProgress,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidField,
        Self::IdempotencyKeyReused,
        Self::Unavailable,
    ];

    /// Status, word, and title.
    pub(crate) const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotJson => (S::BAD_REQUEST, "not_json", "The body is not JSON"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "An API key is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The request is not allowed"),
            Self::SenderNotAllowed => {
                (S::FORBIDDEN, "sender_not_allowed", "The key may not send from this domain")
            }
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is nothing at this path"),
            Self::UnknownMessage => (S::NOT_FOUND, "unknown_message", "No such message is known"),
            Self::UnknownProvider => {
                (S::NOT_FOUND, "unknown_provider", "No such provider is known")
            }
            Self::UnknownAgent => (S::NOT_FOUND, "unknown_agent", "No such agent is known"),
            Self::NoMailbox => (S::NOT_FOUND, "no_mailbox", "The provider has no mailbox"),
            Self::MailboxElsewhere => {
                (S::NOT_FOUND, "mailbox_elsewhere", "The mailbox is at an agent")
            }
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here")
            }
            Self::RequestTimeout => {
                (S::REQUEST_TIMEOUT, "request_timeout", "The body came too slowly")
            }
            Self::ProviderDisabled => {
                (S::CONFLICT, "provider_disabled", "The provider is disabled")
            }
            Self::MessageState => {
                (S::CONFLICT, "message_state", "The message's state does not allow it")
            }
            Self::PastRetention => (S::GONE, "past_retention", "What it needs is past retention"),
            Self::AgentExists => (S::CONFLICT, "agent_exists", "The agent exists already"),
            Self::RequestInProgress => {
                (S::CONFLICT, "request_in_progress", "An equal request is still running")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be JSON")
            }
            Self::InvalidField => {
                (S::UNPROCESSABLE_ENTITY, "invalid_field", "Some fields are not valid")
            }
            Self::IdempotencyKeyReused => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The idempotency key came with another request before",
            ),
            Self::Unavailable => {
                (S::SERVICE_UNAVAILABLE, "unavailable", "The server can't do this for now")
            }
        }
    }
}

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    /// Seconds after which another try makes sense.
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let verb = if named.len() == 1 { "is" } else { "are" };
        let detail = format!("{} {verb} not valid", named.join(", "));
        Self { errors, ..Self::new(Code::InvalidField, detail) }
    }

    pub(crate) fn field(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::fields(vec![FieldError::new(field, reason)])
    }

    pub(crate) fn unavailable(detail: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Code::Unavailable, detail) }
    }
}

impl From<shivneri_spool::SpoolError> for Problem {
    fn from(error: shivneri_spool::SpoolError) -> Self {
        tracing::warn!(%error, "the spool did not answer a request");
        Self::unavailable(error.to_string(), 5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, word, title) = self.code.facts();
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|error| json!({ "field": error.field, "reason": error.reason }))
            .collect();
        let body = json!({
            "type": format!("/problems/{}", word.replace('_', "-")),
            "title": title,
            "status": status.as_u16(),
            "code": word,
            "detail": self.detail,
            "errors": errors,
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            for challenge in
                ["Bearer realm=\"shivneri\"", "Basic realm=\"shivneri\", charset=\"UTF-8\""]
            {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_problem_has_a_word_of_its_own_and_an_error_status() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.facts().1).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let (status, word, _) = code.facts();
            assert!(status.is_client_error() || status.is_server_error(), "{word}");
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        }
    }
}
