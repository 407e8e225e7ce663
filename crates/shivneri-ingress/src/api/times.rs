//! Times as RFC 3339 text, with milliseconds, in UTC.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A time that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown(pub(super) SystemTime);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A time out of jiff's range, before the year -9999 or after 9999, is shown as its end.
        let after = self.0 > SystemTime::UNIX_EPOCH;
        let end = if after { Timestamp::MAX } else { Timestamp::MIN };
        write!(f, "{:.3}", Timestamp::try_from(self.0).unwrap_or(end))
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a time.
///
/// # Errors
///
/// Says what is expected.
pub(super) fn read(text: &str) -> Result<SystemTime, &'static str> {
    let time = text.parse::<Timestamp>().and_then(SystemTime::try_from);
    time.map_err(|_| "is not an RFC 3339 time, as 2030-01-31T09:00:00Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_shown_in_milliseconds_and_read_in_any_zone() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_120);
        assert_eq!(Shown(time).to_string(), "2023-11-14T22:13:20.120Z");
        assert_eq!(read("2023-11-14T22:13:20.120Z"), Ok(time));
        assert_eq!(read("2023-11-15T03:43:20.120+05:30"), Ok(time));
    }

    #[test]
    fn a_time_without_a_zone_is_no_time() {
        for bad in ["", "tomorrow", "2030-01-31", "2030-01-31T09:00:00", "2030-02-31T09:00:00Z"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
