//! What Mailgun's answers mean. It has no error codes: the message's words are documented in its
//! table of errors, under 400, 401, 403, 404, 413, 429 and 500.

use std::time::Duration;

use serde::Deserialize;
use shivneri_core::{Email, Failure, Fault, Receipt, Scope, SendError};

use crate::http::{Reply, honoured, http_date};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: String,
    #[serde(default)]
    message: String,
}

/// Judges the answer to an email.
pub(super) fn judge(reply: &Reply, email: &Email) -> Result<Receipt, SendError> {
    let body: Option<Body> = reply.json();
    let message = body.as_ref().map(|body| body.message.to_lowercase()).unwrap_or_default();
    match (reply.status.as_u16(), body) {
        (200, Some(body)) if !body.id.is_empty() && message.starts_with("queued") => {
            Ok(Receipt::new(body.id))
        }
        (400 | 403 | 420 | 429, _) if message.contains("limit exceeded") => Err(reply.error(
            Failure::Throttled { retry_after: pause(reply, &message) },
            "a limit of the domain is exceeded",
        )),
        (400 | 403, _) if message.contains("is not allowed to send large batches") => {
            Err(reply.error(Failure::Unsupported, "takes no large batches from this domain yet"))
        }
        (400 | 403, _) if message.contains("is not allowed to send") => {
            let fault = fault(&message);
            Err(reply.error(Failure::AccountFault(fault), "the domain is not allowed to send"))
        }
        (400, _) => Err(refusal(reply, email, &message)),
        (402, _) => Err(reply.error(Failure::AccountFault(Fault::Quota), "a payment is wanted")),
        (403, _) if message.starts_with("rejected: ip") => Err(reply
            .error(Failure::AccountFault(Fault::Suspended), "the account's address is refused")),
        (404, _) if message.contains("domain not found") => {
            Err(reply.error(Failure::AccountFault(Fault::Sender), "the domain is not known there"))
        }
        _ => Err(reply.undocumented()),
    }
}

/// Judges the answer to the question for the account's domains.
pub(super) fn judge_domains(reply: &Reply) -> Result<(), SendError> {
    if reply.status == 200 && reply.json::<serde_json::Value>().is_some() {
        Ok(())
    } else {
        Err(reply.undocumented())
    }
}

/// Judges the answer to a message without any field: it is refused by who took the key.
pub(super) fn judge_nothing(reply: &Reply) -> Result<(), SendError> {
    match reply.status.as_u16() {
        400 => Ok(()),
        404 => {
            Err(reply.error(Failure::AccountFault(Fault::Sender), "the domain is not known there"))
        }
        _ => Err(reply.undocumented()),
    }
}

fn fault(message: &str) -> Fault {
    if message.contains("unverified") || message.contains("dns") {
        Fault::Sender
    } else {
        Fault::Suspended
    }
}

/// An address that is not valid is named only by its field, so that it is clear which one is
/// meant where there is but one.
fn refusal(reply: &Reply, email: &Email, message: &str) -> SendError {
    let field = message.split_once(" parameter is not a valid address").map(|(field, _)| field);
    let field = field.map(|field| field.trim_matches(|c: char| !c.is_ascii_alphabetic()));
    match (field, email.envelope().recipients()) {
        (Some("from"), _) => {
            reply.error(Failure::Rejected(Scope::Message), "the sender is no valid address")
        }
        (Some("to" | "cc" | "bcc"), [single]) => reply.error(
            Failure::Rejected(Scope::Recipients(vec![single.clone()])),
            "the recipient is not valid there",
        ),
        _ => reply.undocumented(),
    }
}

/// `try again after 120 seconds`, or `… after Mon, 20 Dec 2021 20:33:21 UTC`.
fn pause(reply: &Reply, message: &str) -> Option<Duration> {
    let header = reply.retry_after();
    header.or_else(|| {
        let (_, after) = message.split_once("try again after ")?;
        let after = after.trim_end_matches('.').trim();
        if let Some(seconds) = after.strip_suffix(" seconds").or(after.strip_suffix(" second")) {
            return Some(honoured(Duration::from_secs(seconds.trim().parse().ok()?)));
        }
        reply.pause_until(http_date(after.to_uppercase().replace("UTC", "GMT").as_str())?)
    })
}
