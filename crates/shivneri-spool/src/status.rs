//! The states of messages, deliveries and recipients, in one set of words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a message, a delivery or a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for the time it is to be sent at.
    Scheduled,
    /// Waits for a provider, or for another try.
    Queued,
    /// An attempt is under way, or one is in doubt and evidence is awaited.
    Sending,
    /// A provider took it.
    Accepted,
    /// The recipient's host took it, by the provider's word.
    Delivered,
    /// It was called off before it was sent.
    Cancelled,
    /// The recipient is on the suppression list.
    Suppressed,
    /// Its time ran out unsent.
    Expired,
    /// Refused for what it is.
    Rejected,
    /// Perhaps sent, and nothing more is tried.
    InDoubt,
    /// The recipient's host refused it, by the provider's word.
    Bounced,
    /// The recipient called it spam.
    Complained,
    /// Its record can't be read; it is set aside and kept.
    Damaged,
}

impl Status {
    /// Every status, in the order of the type.
    pub const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Accepted,
        Self::Delivered,
        Self::Cancelled,
        Self::Suppressed,
        Self::Expired,
        Self::Rejected,
        Self::InDoubt,
        Self::Bounced,
        Self::Complained,
        Self::Damaged,
    ];

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::InDoubt => "in_doubt",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Damaged => "damaged",
        }
    }

    /// Whether nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Sending => false,
            Self::Accepted
            | Self::Delivered
            | Self::Cancelled
            | Self::Suppressed
            | Self::Expired
            | Self::Rejected
            | Self::InDoubt
            | Self::Bounced
            | Self::Complained
            | Self::Damaged => true,
        }
    }

    /// The place in the order by which a message shows one of its deliveries' states: the
    /// unfinished before the finished, then the gravest.
    const fn weight(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Delivered => 1,
            Self::Cancelled => 2,
            Self::Suppressed => 3,
            Self::Expired => 4,
            Self::Rejected => 5,
            Self::InDoubt => 6,
            Self::Bounced => 7,
            Self::Complained => 8,
            Self::Damaged => 9,
            Self::Scheduled => 10,
            Self::Queued => 11,
            Self::Sending => 12,
        }
    }

    /// The status of a whole whose parts have these; `None` without any part.
    ///
    /// ```
    /// use shivneri_spool::Status;
    ///
    /// let parts = [Status::Accepted, Status::Rejected];
    /// assert_eq!(Status::of(parts), Some(Status::Rejected));
    /// assert_eq!(Status::of([Status::Complained, Status::Queued]), Some(Status::Queued));
    /// ```
    pub fn of(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().max_by_key(|status| status.weight())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a status")]
pub struct StatusError {
    word: String,
}

impl FromStr for Status {
    type Err = StatusError;

    fn from_str(word: &str) -> Result<Self, StatusError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == word);
        found.ok_or_else(|| StatusError { word: word.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unfinished_is_shown_before_the_finished_and_then_the_gravest() {
        use Status::{
            Accepted, Bounced, Cancelled, Complained, Delivered, Expired, InDoubt, Queued,
            Rejected, Sending, Suppressed,
        };
        let gravest_first = [
            Sending, Queued, Complained, Bounced, InDoubt, Rejected, Expired, Suppressed,
            Cancelled, Delivered, Accepted,
        ];
        for at in 0..gravest_first.len() {
            assert_eq!(Status::of(gravest_first[at..].iter().copied()), Some(gravest_first[at]));
        }
    }

    #[test]
    fn every_status_has_a_word_of_its_own() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("sent".parse::<Status>().is_err());
    }
}
