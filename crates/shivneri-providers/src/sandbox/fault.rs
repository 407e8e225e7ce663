//! Faults of a sandbox, and the words they are written in.

use std::{fmt, str::FromStr, time::Duration};

use crate::parse_duration;

/// How a sandbox goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Not at all: `none`.
    #[default]
    None,
    /// Rejects each email for its content: `reject`.
    Reject,
    /// Rejects each email and does not say why: `unexplained`.
    Unexplained,
    /// Can't carry any email: `unsupported`.
    Unsupported,
    /// Is down: `unavailable`.
    Unavailable,
    /// Asks for a pause, of so long where it says so: `throttle`, `throttle:5s`.
    Throttle(Option<Duration>),
    /// Takes nothing, and answers what settles nothing: `weak`.
    Weak,
    /// Takes the email and leaves the sender in doubt: `in_doubt`.
    InDoubt,
    /// Takes nothing and leaves the sender in doubt: `lost`.
    Lost,
    /// Accepts its key no more: `account`.
    Account,
    /// Never answers: `stall`.
    Stall,
}

/// A word that is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is none of none, reject, unexplained, unsupported, unavailable, throttle, throttle:5s, weak, \
     in_doubt, lost, account, stall"
)]
pub struct FaultError;

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Ok(match text.trim() {
            "none" => Self::None,
            "reject" => Self::Reject,
            "unexplained" => Self::Unexplained,
            "unsupported" => Self::Unsupported,
            "unavailable" => Self::Unavailable,
            "throttle" => Self::Throttle(None),
            "weak" => Self::Weak,
            "in_doubt" => Self::InDoubt,
            "lost" => Self::Lost,
            "account" => Self::Account,
            "stall" => Self::Stall,
            other => {
                let pause = other.strip_prefix("throttle:").ok_or(FaultError)?;
                Self::Throttle(Some(parse_duration(pause).map_err(|_| FaultError)?))
            }
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Reject => "reject",
            Self::Unexplained => "unexplained",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Throttle(None) => "throttle",
            Self::Throttle(Some(pause)) => return write!(f, "throttle:{}ms", pause.as_millis()),
            Self::Weak => "weak",
            Self::InDoubt => "in_doubt",
            Self::Lost => "lost",
            Self::Account => "account",
            Self::Stall => "stall",
        })
    }
}
