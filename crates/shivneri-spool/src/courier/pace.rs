//! Limits how much mail is looked at only to be held again, so that a long queue for a provider
//! that is down does not keep the machine busy.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens that fills steadily.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    /// When the bucket was, or will be, empty.
    empty_at: Instant,
}

impl Pace {
    /// How long a bucket takes to fill.
    const FULL: Duration = Duration::from_millis(250);
    /// How long it fills before it is worth a look.
    const WORTH: Duration = Duration::from_millis(50);

    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.max(1), empty_at: now - Self::FULL }
    }

    /// Takes a token, also from an empty bucket, which then takes longer to fill.
    pub(super) fn take(&mut self, now: Instant) {
        self.empty_at = self.empty_at.max(now - Self::FULL) + self.interval();
    }

    /// How many tokens are left; few count as none, so that each look is worth its while.
    pub(super) fn left(&self, now: Instant) -> usize {
        let filled = now.saturating_duration_since(self.empty_at).min(Self::FULL);
        if filled < Self::WORTH.max(self.interval()) {
            return 0;
        }
        (filled.as_nanos() / self.interval().as_nanos()) as usize
    }

    /// When there are some again.
    pub(super) fn next(&self) -> Instant {
        self.empty_at + Self::WORTH.max(self.interval())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_fit_into_a_second_than_were_allowed() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start);
        assert_eq!(pace.left(start), 25, "a quarter of a second at once");
        for left in (0..25).rev() {
            pace.take(start);
            assert_eq!(pace.left(start), if left < 5 { 0 } else { left });
        }
        assert_eq!(pace.next(), start + Duration::from_millis(50));
        assert_eq!(pace.left(start + Duration::from_millis(49)), 0);
        assert_eq!(pace.left(start + Duration::from_millis(70)), 7);
        pace.take(start);
        assert_eq!(pace.left(start + Duration::from_millis(70)), 6);
        assert_eq!(pace.left(start + Duration::from_secs(60)), 25);
    }
}
