//! Looking for messages.

use std::time::SystemTime;

use shivneri_core::ProviderId;

use crate::{SpoolError, Status, Summary};

/// What is looked for; each part that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Only messages of this status.
    pub status: Option<Status>,
    /// Only messages to this address, whatever its case.
    pub recipient: Option<String>,
    /// Only messages with an attempt at this provider.
    pub provider: Option<ProviderId>,
    /// Only messages with this tag.
    pub tag: Option<String>,
    /// Only messages with these words, in any case, in author, recipient or subject; or the
    /// message whose id this is.
    pub q: Option<String>,
    /// Only messages accepted at this time or later.
    pub since: Option<SystemTime>,
    /// Only messages accepted before this time.
    pub until: Option<SystemTime>,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// How many at most, 1 to 1,000; absent: 50.
    pub limit: Option<usize>,
}

impl Search {
    /// How many messages a page has without any wish.
    pub const DEFAULT_LIMIT: usize = 50;
    /// How many messages a page has at most.
    pub const MAX_LIMIT: usize = 1000;

    /// The limit that holds.
    pub fn page_size(&self) -> usize {
        self.limit.unwrap_or(Self::DEFAULT_LIMIT).clamp(1, Self::MAX_LIMIT)
    }
}

/// A part of what was found, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Summary>,
    /// Where the next page begins; none at the end. A page may be short, even empty, and have a
    /// next one, where very many messages had to be passed over.
    pub next: Option<Cursor>,
}

/// A place between two pages; its text says nothing to anyone but the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub(crate) i64);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl std::str::FromStr for Cursor {
    type Err = SpoolError;

    fn from_str(text: &str) -> Result<Self, SpoolError> {
        let digits = text.strip_prefix('c').ok_or(SpoolError::BadCursor)?;
        let place = i64::from_str_radix(digits, 16).map_err(|_| SpoolError::BadCursor)?;
        if place < 0 { Err(SpoolError::BadCursor) } else { Ok(Self(place)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nothing_else_is_one() {
        let cursor = Cursor(0x1234);
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for bad in ["", "c", "1", "c-1", "cxyz", "c11111111111111111"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_page_has_at_least_one_message_and_at_most_a_thousand() {
        let of = |limit| Search { limit, ..Search::default() }.page_size();
        assert_eq!((of(None), of(Some(0)), of(Some(5)), of(Some(9999))), (50, 1, 5, 1000));
    }
}
