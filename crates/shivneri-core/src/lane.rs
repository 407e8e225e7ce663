//! Lanes: how urgent mail is, how long it may wait, and what to do when in doubt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LaneName;

/// What to do with a delivery that was perhaps sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubt {
    /// Once the doubt's wait is over, send it again, marked as a possible duplicate.
    #[default]
    Resend,
    /// Never send it again without a person's word; it ends as `in_doubt`.
    Hold,
}

impl OnDoubt {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Hold => "hold",
        }
    }
}

/// A lane's rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Its name.
    pub name: LaneName,
    /// How long a message may wait from its acceptance (or `send_at`) on; then it expires.
    pub max_age: Duration,
    /// How long evidence is awaited for an attempt in doubt.
    pub doubt_wait: Duration,
    /// What follows after that.
    pub on_doubt: OnDoubt,
    /// Lanes of a lower rank go first.
    pub rank: u8,
}

impl Lane {
    fn built_in(name: &str, rank: u8, max_age: Duration, doubt_wait: Duration) -> Self {
        let name = name.parse().expect("built-in lane names are valid");
        Self { name, max_age, doubt_wait, on_doubt: OnDoubt::Resend, rank }
    }

    /// `critical`: password resets and the like; 10 minutes, doubt waits 5 s.
    pub fn critical() -> Self {
        Self::built_in("critical", 0, Duration::from_secs(600), Duration::from_secs(5))
    }

    /// `transactional`, the default: 24 hours, doubt waits 60 s.
    pub fn transactional() -> Self {
        Self::built_in("transactional", 1, Duration::from_secs(86_400), Duration::from_secs(60))
    }

    /// `bulk`: 3 days, doubt waits 60 s.
    pub fn bulk() -> Self {
        Self::built_in("bulk", 2, Duration::from_secs(259_200), Duration::from_secs(60))
    }

    /// Whether a provider on probation may be tried with this lane's mail from the start.
    pub fn suits_probation(&self) -> bool {
        self.rank >= 2
    }
}
