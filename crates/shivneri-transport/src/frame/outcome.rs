//! Outcomes, failures and look-ups.

use std::time::Duration;

use shivneri_core::{
    Answer, Cause, Doubt, EmailAddress, Failure, Fault, Lookup, Outcome, Receipt, Scope, SendError,
};

use crate::wire::{self, failure::Kind, lookup_report, outcome::End};

pub(crate) fn encode_outcome(outcome: &Outcome) -> wire::Outcome {
    let end = match outcome {
        Outcome::Accepted(receipt) => End::Accepted(encode_receipt(receipt)),
        Outcome::Failed(error) => End::Failed(encode_failure(error)),
    };
    wire::Outcome { end: Some(end) }
}

/// Reads an outcome. One that can't be understood is strong doubt: the agent did report an end.
pub(crate) fn decode_outcome(outcome: Option<wire::Outcome>) -> Outcome {
    match outcome.and_then(|outcome| outcome.end) {
        Some(End::Accepted(receipt)) => Outcome::Accepted(decode_receipt(receipt)),
        Some(End::Failed(failure)) => Outcome::Failed(decode_failure(failure)),
        None => Outcome::Failed(
            SendError::new(
                Failure::InDoubt(Doubt::Strong),
                "the agent's report holds no outcome that this server understands",
            )
            .caused_by(Cause::Agent),
        ),
    }
}

fn encode_receipt(receipt: &Receipt) -> wire::Receipt {
    wire::Receipt {
        provider_message_id: receipt.provider_message_id.clone(),
        refused: receipt.refused.iter().map(ToString::to_string).collect(),
        deferred: receipt.deferred.iter().map(ToString::to_string).collect(),
    }
}

fn decode_receipt(receipt: wire::Receipt) -> Receipt {
    Receipt {
        provider_message_id: one_line(&receipt.provider_message_id),
        refused: addresses(&receipt.refused),
        deferred: addresses(&receipt.deferred),
    }
}

/// What is no address can't be one of the recipients, so it is left out.
fn addresses(list: &[String]) -> Vec<EmailAddress> {
    list.iter().filter_map(|text| text.parse().ok()).collect()
}

pub(crate) fn encode_failure(error: &SendError) -> wire::Failure {
    let (mut retry_after_ms, mut recipients) = (None, Vec::new());
    let kind = match error.failure() {
        Failure::Rejected(Scope::Message) => Kind::RejectedMessage,
        Failure::Rejected(Scope::Unexplained) => Kind::RejectedUnexplained,
        Failure::Rejected(Scope::Recipients(list)) => {
            recipients = list.iter().map(ToString::to_string).collect();
            Kind::RejectedRecipients
        }
        Failure::Unsupported => Kind::Unsupported,
        Failure::AccountFault(Fault::Key) => Kind::FaultKey,
        Failure::AccountFault(Fault::Suspended) => Kind::FaultSuspended,
        Failure::AccountFault(Fault::Paused) => Kind::FaultPaused,
        Failure::AccountFault(Fault::Quota) => Kind::FaultQuota,
        Failure::AccountFault(Fault::Sender) => Kind::FaultSender,
        Failure::Throttled { retry_after } => {
            retry_after_ms =
                retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Kind::Throttled
        }
        Failure::Unavailable if error.is_not_started() => Kind::NotStarted,
        Failure::Unavailable => Kind::Unavailable,
        Failure::InDoubt(Doubt::Weak) => Kind::InDoubtWeak,
        Failure::InDoubt(Doubt::Strong) => Kind::InDoubtStrong,
    };
    let cause = match error.cause() {
        Cause::Provider => wire::failure::Cause::Provider,
        Cause::Link => wire::failure::Cause::Link,
        Cause::Agent => wire::failure::Cause::Agent,
    };
    wire::Failure {
        kind: kind.into(),
        cause: cause.into(),
        retry_after_ms,
        recipients,
        answer: error
            .answer()
            .map(|answer| wire::Answer { status: answer.status.into(), text: answer.text.clone() }),
        detail: error.detail().to_owned(),
    }
}

/// Reads a failure. A kind this build doesn't know is strong doubt.
pub(crate) fn decode_failure(from: wire::Failure) -> SendError {
    let fault = Failure::AccountFault;
    let failure = match from.kind() {
        Kind::NotStarted | Kind::Unavailable => Failure::Unavailable,
        Kind::RejectedMessage => Failure::Rejected(Scope::Message),
        Kind::RejectedUnexplained => Failure::Rejected(Scope::Unexplained),
        Kind::RejectedRecipients => rejected_recipients(&from.recipients),
        Kind::Unsupported => Failure::Unsupported,
        Kind::FaultKey => fault(Fault::Key),
        Kind::FaultSuspended => fault(Fault::Suspended),
        Kind::FaultPaused => fault(Fault::Paused),
        Kind::FaultQuota => fault(Fault::Quota),
        Kind::FaultSender => fault(Fault::Sender),
        Kind::Throttled => {
            Failure::Throttled { retry_after: from.retry_after_ms.map(Duration::from_millis) }
        }
        Kind::InDoubtWeak => Failure::InDoubt(Doubt::Weak),
        Kind::InDoubtStrong | Kind::Unspecified => Failure::InDoubt(Doubt::Strong),
    };
    let cause = match (from.kind(), from.cause()) {
        (Kind::NotStarted, _) => Cause::Agent,
        // Only `NOT_STARTED` vouches that nothing was begun.
        (Kind::Unavailable, wire::failure::Cause::Agent) => Cause::Link,
        (_, wire::failure::Cause::Agent) => Cause::Agent,
        (_, wire::failure::Cause::Link) => Cause::Link,
        (_, wire::failure::Cause::Provider | wire::failure::Cause::Unspecified) => Cause::Provider,
    };
    let error = SendError::new(failure, one_line(&from.detail)).caused_by(cause);
    match from.answer {
        Some(answer) => {
            let status = u16::try_from(answer.status).unwrap_or(u16::MAX);
            error.with_answer(Answer::new(status, &answer.text))
        }
        None => error,
    }
}

/// A rejection that names no recipient decides about none, so it is one without explanation.
fn rejected_recipients(list: &[String]) -> Failure {
    match addresses(list) {
        named if named.is_empty() => Failure::Rejected(Scope::Unexplained),
        named => Failure::Rejected(Scope::Recipients(named)),
    }
}

/// An agent's words end in logs and pages: one line, 500 characters at most.
fn one_line(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(crate) fn encode_lookup(id: u64, result: &Result<Lookup, SendError>) -> wire::LookupReport {
    let answer = match result {
        Ok(Lookup::Found(receipt)) => lookup_report::Answer::Found(encode_receipt(receipt)),
        Ok(Lookup::NotFound) => lookup_report::Answer::NotFound(wire::NotFound {}),
        Ok(Lookup::CannotTell) => lookup_report::Answer::CannotTell(wire::CannotTell {}),
        Err(error) => lookup_report::Answer::Failure(encode_failure(error)),
    };
    wire::LookupReport { id, answer: Some(answer) }
}

pub(crate) fn decode_lookup(answer: Option<lookup_report::Answer>) -> Result<Lookup, SendError> {
    match answer {
        Some(lookup_report::Answer::Found(receipt)) => Ok(Lookup::Found(decode_receipt(receipt))),
        Some(lookup_report::Answer::NotFound(_)) => Ok(Lookup::NotFound),
        Some(lookup_report::Answer::CannotTell(_)) | None => Ok(Lookup::CannotTell),
        Some(lookup_report::Answer::Failure(failure)) => Err(decode_failure(failure)),
    }
}

#[cfg(test)]
mod tests;
