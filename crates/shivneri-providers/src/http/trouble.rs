//! Calls that ended without a complete answer.

use std::{error::Error, io, time::Duration};

use http::StatusCode;
use shivneri_core::{Answer, Cause, Doubt, Failure, SendError};

use super::Progress;

/// Why there is no complete answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The call failed before an answer began.
    Call(reqwest::Error),
    /// The answer began, with this status, and broke off.
    Cut(StatusCode, reqwest::Error),
    /// The time was up.
    Timeout(Duration),
}

impl Trouble {
    /// Sorts it into *certainly not sent* and *perhaps sent*.
    pub(crate) fn into_error(self, progress: &Progress) -> SendError {
        match self {
            Self::Timeout(after) if progress.is_handed_over() => {
                SendError::new(strong(), format!("no answer within {after:?}"))
            }
            Self::Timeout(after) if progress.is_begun() => SendError::new(
                Failure::Unavailable,
                format!("the request could not be handed over within {after:?}"),
            ),
            Self::Timeout(after) => {
                SendError::new(Failure::Unavailable, format!("no connection within {after:?}"))
                    .caused_by(Cause::Link)
            }
            Self::Call(error) => failed_call(error.without_url(), progress),
            Self::Cut(status, error) => {
                let error = error.without_url();
                let detail = "the answer broke off";
                if_handed_over(progress, detail)
                    .with_answer(Answer::new(status.as_u16(), ""))
                    .with_source(error)
            }
        }
    }
}

fn failed_call(error: reqwest::Error, progress: &Progress) -> SendError {
    if error.is_connect() {
        let detail = format!("could not connect: {}", reason(&error));
        return SendError::new(Failure::Unavailable, detail)
            .caused_by(Cause::Link)
            .with_source(error);
    }
    if is_untouched_by_peer(&error) {
        let detail = "the service refused the stream before it touched the request";
        return SendError::new(Failure::Unavailable, detail).with_source(error);
    }
    let detail = format!("the connection broke: {}", reason(&error));
    if_handed_over(progress, &detail).with_source(error)
}

fn if_handed_over(progress: &Progress, detail: &str) -> SendError {
    if progress.is_handed_over() {
        SendError::new(strong(), format!("{detail} after the request was handed over"))
    } else {
        let detail = format!("{detail} before the request was handed over");
        SendError::new(Failure::Unavailable, detail)
    }
}

const fn strong() -> Failure {
    Failure::InDoubt(Doubt::Strong)
}

/// Whether HTTP/2 itself vouches that the request was not acted upon: REFUSED_STREAM, or a stream
/// above the last one that a GOAWAY names (RFC 9113 section 8.7). h2 gives a remote GOAWAY as a
/// stream's error only to streams above that last one.
fn is_untouched_by_peer(error: &(dyn Error + 'static)) -> bool {
    chain(error).into_iter().filter_map(|error| error.downcast_ref::<h2::Error>()).any(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

/// The reason in words that hold neither URL nor address.
fn reason(error: &(dyn Error + 'static)) -> String {
    for error in chain(error) {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() != io::ErrorKind::Other
        {
            return io.kind().to_string();
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_incomplete_message()
        {
            return "closed without an answer".into();
        }
    }
    root(error).to_string()
}

/// The innermost error: what the outer ones were about.
pub(crate) fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).pop().unwrap_or(error)
}

/// The error and all below it, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = vec![error];
    let mut below = error.source();
    while let Some(error) = below {
        chain.push(error);
        below = error.source();
    }
    chain
}
