//! Times as people type them: RFC 3339, or how long ago.

use jiff::{SignedDuration, Timestamp};

/// `2026-07-01T10:00:00Z` as it is, and `90s`, `5m`, `2h`, `3d` as the time so long before `now`.
///
/// # Errors
///
/// What is neither, with what would be.
pub(super) fn before(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = || {
        format!("{text:?} is no time like 2026-07-01T10:00:00Z and no age like 90s, 5m, 2h or 3d")
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let age = SignedDuration::from_secs(i64::from(number) * seconds);
    now.checked_sub(age).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_as_it_is_and_an_age_is_counted_back_from_now() {
        let now: Timestamp = "2026-07-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
            ("2026-07-01T10:00:00+02:00", "2026-07-01T08:00:00Z"),
            ("90s", "2026-07-02T11:58:30Z"),
            ("5m", "2026-07-02T11:55:00Z"),
            ("2h", "2026-07-02T10:00:00Z"),
            ("1d", "2026-07-01T12:00:00Z"),
        ] {
            assert_eq!(before(text, now).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_examples() {
        let now = Timestamp::UNIX_EPOCH;
        for text in ["", "h", "yesterday", "-5m", "5w", "4000000000d", "5ü", "99999999d"] {
            assert!(before(text, now).unwrap_err().contains("2026-07-01T10:00:00Z"), "{text}");
        }
    }
}
