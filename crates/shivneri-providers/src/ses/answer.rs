//! What the answers of SES mean. The error's type decides, not the status: 400 stands for a bad
//! message as well as for a suspended account.

use serde::Deserialize;
use shivneri_core::{Failure, Fault, Receipt, Scope, SendError};

use crate::http::Reply;

#[derive(Deserialize)]
struct Accepted {
    #[serde(rename = "MessageId")]
    message_id: String,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default, rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    sending_enabled: bool,
    #[serde(default)]
    enforcement_status: String,
}

/// Judges the answer to an email.
pub(super) fn judge(reply: &Reply) -> Result<Receipt, SendError> {
    let accepted: Option<Accepted> = if reply.status == 200 { reply.json() } else { None };
    match accepted {
        Some(Accepted { message_id }) if !message_id.is_empty() => Ok(Receipt::new(message_id)),
        Some(_) | None => Err(problem(reply)),
    }
}

/// Judges the answer to the question for the account.
pub(super) fn judge_account(reply: &Reply) -> Result<(), SendError> {
    let account: Option<Account> = if reply.status == 200 { reply.json() } else { None };
    let fault = |fault, detail: &str| Err(reply.error(Failure::AccountFault(fault), detail));
    match account {
        Some(account) if account.enforcement_status == "SHUTDOWN" => {
            fault(Fault::Suspended, "sending was shut down by AWS")
        }
        Some(Account { sending_enabled: false, .. }) => fault(Fault::Paused, "sending is paused"),
        Some(_) => Ok(()),
        None => Err(problem(reply)),
    }
}

fn problem(reply: &Reply) -> SendError {
    let body: Option<Problem> = reply.json();
    let in_body = body.as_ref().map(|body| body.kind.as_str());
    let kind = reply.header("x-amzn-errortype").or(in_body).map(bare).unwrap_or_default();
    let message = body.as_ref().map(|body| body.message.to_lowercase()).unwrap_or_default();
    let account = |fault, detail: &str| reply.error(Failure::AccountFault(fault), detail);
    if !(400..500).contains(&reply.status.as_u16()) {
        return reply.undocumented();
    }
    match kind {
        "MessageRejected" if message.contains("not verified") => {
            account(Fault::Sender, "the sender is not verified")
        }
        "MessageRejected" => {
            reply.error(Failure::Rejected(Scope::Message), "rejected for its content")
        }
        "MailFromDomainNotVerifiedException" => {
            account(Fault::Sender, "the sender's domain is not verified")
        }
        "AccountSuspendedException" => account(Fault::Suspended, "the account is suspended"),
        "SendingPausedException" => account(Fault::Paused, "sending is paused"),
        "LimitExceededException" => account(Fault::Quota, "a limit of the account is exceeded"),
        "TooManyRequestsException" | "ThrottlingException" | "Throttling"
            if message.contains("daily message quota") =>
        {
            account(Fault::Quota, "the day's quota is used up")
        }
        "TooManyRequestsException" | "ThrottlingException" | "Throttling" => {
            let retry_after = reply.retry_after();
            reply.error(Failure::Throttled { retry_after }, "too many requests")
        }
        "NotFoundException" => account(Fault::Key, "something the account refers to is missing"),
        kind if KEY.contains(&kind) => account(Fault::Key, "the key is not accepted"),
        _ => reply.undocumented(),
    }
}

/// Errors of the key, common to all of AWS, which may come with 400 as well as with 403.
const KEY: [&str; 12] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// The type without the namespace before `#` and the address after `:`.
fn bare(kind: &str) -> &str {
    let kind = kind.split_once(':').map_or(kind, |(kind, _)| kind);
    kind.rsplit_once('#').map_or(kind, |(_, kind)| kind).trim()
}
