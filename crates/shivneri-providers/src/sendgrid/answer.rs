//! What SendGrid's answers mean.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use shivneri_core::{Email, EmailAddress, Failure, Fault, Receipt, Scope, SendError};

use super::request::layout;
use crate::http::Reply;

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    message: String,
    #[serde(default)]
    field: Option<String>,
}

#[derive(Deserialize)]
struct Scopes {
    scopes: Vec<String>,
}

/// Judges the answer to an email.
pub(super) fn judge(reply: &Reply, email: &Email, test_mode: bool) -> Result<Receipt, SendError> {
    let id = reply.header("x-message-id").filter(|id| !id.is_empty());
    match (reply.status.as_u16(), id) {
        (202, Some(id)) => Ok(Receipt::new(id)),
        // The sandbox mode answers 200, for a message that gets no id.
        (200, id) if test_mode => Ok(Receipt::new(id.unwrap_or("sandbox-mode"))),
        (400, _) => Err(refusal(reply, email)),
        (401, _) if says(reply, "credits exceeded") => {
            Err(reply.error(Failure::AccountFault(Fault::Quota), "the plan's credits are used up"))
        }
        (403, _) if says(reply, "verified sender identity") => Err(reply
            .error(Failure::AccountFault(Fault::Sender), "the sender's address is not verified")),
        (403, _) if says(reply, "temporary block") => Err(reply.error(
            Failure::Throttled { retry_after: pause(reply) },
            "blocked for a while after too many bad requests",
        )),
        (429, _) => {
            Err(reply.error(Failure::Throttled { retry_after: pause(reply) }, "too many requests"))
        }
        _ => Err(reply.undocumented()),
    }
}

/// Judges the answer to the question which scopes the key has.
pub(super) fn judge_scopes(reply: &Reply) -> Result<(), SendError> {
    let scopes: Option<Scopes> = if reply.status == 200 { reply.json() } else { None };
    match scopes {
        Some(Scopes { scopes }) if scopes.iter().any(|scope| scope == "mail.send") => Ok(()),
        Some(_) => {
            Err(reply.error(Failure::AccountFault(Fault::Key), "the key has no scope mail.send"))
        }
        None => Err(reply.undocumented()),
    }
}

fn says(reply: &Reply, words: &str) -> bool {
    reply.text().to_lowercase().contains(words)
}

fn pause(reply: &Reply) -> Option<Duration> {
    reply.retry_after().or_else(|| {
        let reset: u64 = reply.header("x-ratelimit-reset")?.parse().ok()?;
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
        reply.pause_until(until)
    })
}

/// SendGrid has no error codes, only the path of the field it complains about. Paths of single
/// recipients name those; others may stand for a limit of SendGrid's own, so that another
/// provider is asked.
fn refusal(reply: &Reply, email: &Email) -> SendError {
    let errors = reply.json::<Errors>().map(|errors| errors.errors).unwrap_or_default();
    let of_address = |entry: &Entry| {
        let message = entry.message.to_lowercase();
        message.contains("valid address") || message.contains("valid email")
    };
    let lists = layout(email);
    let named: Option<Vec<EmailAddress>> = errors
        .iter()
        .map(|entry| entry.field.as_deref().and_then(|field| recipient(&lists, field)))
        .collect();
    let from = |entry: &Entry| entry.field.as_deref() == Some("from.email");
    match named {
        Some(mut named) if !named.is_empty() && errors.iter().all(of_address) => {
            named.dedup();
            let detail = format!("{} recipients are not valid there", named.len());
            reply.error(Failure::Rejected(Scope::Recipients(named)), detail)
        }
        _ if errors.iter().any(|entry| from(entry) && of_address(entry)) => {
            reply.error(Failure::Rejected(Scope::Message), "the sender is no valid address")
        }
        _ => reply.undocumented(),
    }
}

/// The recipient that a path such as `personalizations.0.to.1.email` names.
fn recipient(lists: &[crate::address::Recipients], field: &str) -> Option<EmailAddress> {
    let mut parts = field.split('.');
    if parts.next() != Some("personalizations") {
        return None;
    }
    let lists = lists.get(parts.next()?.parse::<usize>().ok()?)?;
    let list = match parts.next()? {
        "to" => &lists.to,
        "cc" => &lists.cc,
        "bcc" => &lists.bcc,
        _ => return None,
    };
    let mailbox = list.get(parts.next()?.parse::<usize>().ok()?)?;
    Some(mailbox.address().clone())
}
