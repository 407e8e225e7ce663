//! Pauses that providers ask for, as they are kept with the end of the attempt they answered.

use std::time::{Duration, SystemTime};

use shivneri_core::{Failure, Outcome};

use super::queue::{from_micros, micros};

/// Shorter ones are over before a server is back.
const SHORTEST: Duration = Duration::from_secs(2);
/// Nobody is believed who asks for more, as in a provider's health.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Until when the provider that gave this outcome is to be left alone, where that is worth keeping.
pub(crate) fn asked_for(outcome: &Outcome, now: SystemTime) -> Option<SystemTime> {
    let Outcome::Failed(error) = outcome else { return None };
    let Failure::Throttled { retry_after: Some(pause) } = error.failure() else { return None };
    (*pause >= SHORTEST).then(|| now + (*pause).min(LONGEST))
}

/// What is to be kept of a pause in place of what is; none where that is no shorter. One that ends
/// later than any pause can was kept by a clock that was ahead.
pub(crate) fn extended(kept: Option<&[u8]>, until: SystemTime, now: SystemTime) -> Option<Vec<u8>> {
    let kept = kept.and_then(read).filter(|kept| *kept <= now + LONGEST);
    kept.is_none_or(|kept| kept < until).then(|| micros(until).to_string().into_bytes())
}

/// A pause's end; none where it can't be read.
pub(crate) fn read(kept: &[u8]) -> Option<SystemTime> {
    std::str::from_utf8(kept).ok()?.parse().ok().map(from_micros)
}

#[cfg(test)]
mod tests {
    use shivneri_core::SendError;

    use super::*;

    fn throttled(retry_after: Option<Duration>) -> Outcome {
        Outcome::Failed(SendError::new(Failure::Throttled { retry_after }, "slow down"))
    }

    #[test]
    fn a_pause_is_kept_from_two_seconds_on_and_for_a_day_at_most() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (asked, kept) in [
            (None, None),
            (Some(1), None),
            (Some(2), Some(2)),
            (Some(60), Some(60)),
            (Some(100_000), Some(86_400)),
        ] {
            let until = asked_for(&throttled(asked.map(Duration::from_secs)), now);
            assert_eq!(until, kept.map(|kept| now + Duration::from_secs(kept)), "{asked:?}");
        }
    }

    #[test]
    fn the_longer_pause_stays() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let kept = extended(None, now, now).unwrap();
        assert_eq!(read(&kept), Some(now));
        assert_eq!(extended(Some(&kept), now - SHORTEST, now), None);
        assert_eq!(
            extended(Some(&kept), now + SHORTEST, now).and_then(|kept| read(&kept)),
            Some(now + SHORTEST)
        );
        assert!(extended(Some(b"?"), now, now).is_some(), "what can't be read is no pause");
    }

    #[test]
    fn what_was_kept_by_a_clock_that_was_ahead_gives_way() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let next_year = now + Duration::from_secs(365 * 86_400);
        let kept = extended(None, next_year, next_year).unwrap();
        assert!(extended(Some(&kept), now + SHORTEST, now).is_some());
    }
}
