//! Versions of the protocol, and the limits both sides keep.

use std::{ops::RangeInclusive, time::Duration};

/// The version this build speaks best.
const CURRENT: u32 = 1;

/// The versions this build understands: its own and the one before.
pub(crate) fn spoken() -> RangeInclusive<u32> {
    understood(CURRENT)
}

/// A build at `current` understands that version and the one before; version 0 never existed.
fn understood(current: u32) -> RangeInclusive<u32> {
    current.saturating_sub(1).max(1)..=current
}

/// The highest version that both sides understand.
pub(crate) fn negotiate(ours: &RangeInclusive<u32>, min: u32, max: u32) -> Option<u32> {
    let highest = (*ours.end()).min(max);
    (highest >= *ours.start() && highest >= min).then_some(highest)
}

/// Chunks of a body.
pub(crate) const CHUNK: usize = 64 << 10;
/// An email encoded in at most so many bytes travels in the offer itself.
pub(crate) const INLINE_BODY: usize = 16 << 10;
/// The largest encoded email an agent takes.
pub(crate) const MAX_BODY: u64 = 64 << 20;
/// The largest frame: a Hello lists every attempt the journal holds.
pub(crate) const MAX_FRAME: usize = 16 << 20;
/// Frames that wait for the other side to read, at most.
pub(crate) const FRAMES_WAITING: usize = 1024;
/// How long a new connection may take to say Hello, and the other side to answer it.
pub(crate) const GREETING: Duration = Duration::from_secs(10);
/// The metadata key that names why a session was refused.
pub(crate) const REFUSAL: &str = "shivneri-refusal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_and_the_one_before_are_understood() {
        assert_eq!(understood(1), 1..=1);
        assert_eq!(understood(2), 1..=2);
        assert_eq!(understood(5), 4..=5);
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let ours = understood(3);
        for (min, max, spoken) in [
            (1, 1, None),
            (1, 2, Some(2)),
            (2, 3, Some(3)),
            (3, 9, Some(3)),
            (4, 9, None),
            (3, 2, None),
        ] {
            assert_eq!(negotiate(&ours, min, max), spoken, "{min} to {max}");
        }
    }

    #[test]
    fn version_zero_is_refused() {
        assert_eq!(negotiate(&spoken(), 0, 0), None);
        assert_eq!(negotiate(&spoken(), 0, 1), Some(1));
    }
}
