//! Why a call gave no answer that can be used.

use super::Problem;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No connection: nothing was sent.
    #[error("can't reach a server at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The connection broke before the whole answer was there.
    #[error("the connection to {url} broke: {reason}")]
    Lost { url: String, reason: String },
    /// The server refused, and says why.
    #[error("{}", .0.headline())]
    Refused(Problem),
    /// An answer that is none of Shivneri's.
    #[error("the answer of {url} is not understood: {reason}")]
    Strange { url: String, reason: String },
}

impl Error {
    pub(super) fn of_transport(url: String, error: &reqwest::Error) -> Self {
        let reason = innermost(error);
        if error.is_connect() || error.is_builder() {
            Self::Unreachable { url, reason }
        } else if error.is_timeout() {
            Self::Lost { url, reason: "no answer in time".into() }
        } else {
            Self::Lost { url, reason }
        }
    }

    /// What is shown to people: the reason, and what helps.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unreachable { .. } => format!(
                "{self}\n  start one with `shivneri-server`, or name another with --url or SHIVNERI_URL"
            ),
            Self::Refused(problem) => problem.describe(),
            Self::Lost { .. } | Self::Strange { .. } => self.to_string(),
        }
    }
}

/// The cause at the bottom is the one that says something: "connection refused".
fn innermost(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
