//! Limits how much mail is looked at only to be held again, so that a long queue for a provider
//! that is down does not keep the machine busy.

use std::time::Duration;

use tokio::time::Instant;

/// A count within the present second.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    since: Instant,
    count: u32,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.max(1), since: now, count: 0 }
    }

    pub(super) fn count(&mut self, now: Instant) {
        self.turn(now);
        self.count += 1;
    }

    /// How many more fit into this second.
    pub(super) fn left(&mut self, now: Instant) -> usize {
        self.turn(now);
        self.per_second.saturating_sub(self.count) as usize
    }

    /// When more fit again.
    pub(super) fn next(&self) -> Instant {
        self.since + Duration::from_secs(1)
    }

    fn turn(&mut self, now: Instant) {
        if now >= self.next() {
            self.since = now;
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_fit_into_a_second_than_were_allowed() {
        let start = Instant::now();
        let mut pace = Pace::new(3, start);
        for left in [2, 1, 0, 0] {
            pace.count(start);
            assert_eq!(pace.left(start + Duration::from_millis(999)), left);
        }
        assert_eq!(pace.next(), start + Duration::from_secs(1));
        assert_eq!(pace.left(start + Duration::from_secs(1)), 3);
    }
}
