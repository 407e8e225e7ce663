//! Notices a provider that suddenly rejects what it and others used to take.

use tokio::time::Instant;

use crate::window::SlidingCounts;

const UNEXPLAINED: usize = 0;
const OTHER: usize = 1;
/// Outcomes within the window that make its share count.
const SAMPLES: u32 = 20;

/// Counts unexplained rejections against everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct RejectionWatch {
    recent: SlidingCounts<30>,
    ever: [u64; 2],
}

impl RejectionWatch {
    pub(crate) fn unexplained(&mut self, now: Instant) {
        self.count(UNEXPLAINED, now);
    }

    pub(crate) fn other(&mut self, now: Instant) {
        self.count(OTHER, now);
    }

    fn count(&mut self, kind: usize, now: Instant) {
        self.recent.add(kind, now);
        self.ever[kind] += 1;
    }

    /// Whether it rejects far more than in its own past: more than half of the last 30 s, and
    /// more than four times its share before. Its word alone then decides nothing.
    pub(crate) fn is_suspicious(&self, now: Instant) -> bool {
        let [bad, good] = self.recent.sums(now);
        let all = bad + good;
        let before = [self.ever[0] - u64::from(bad), self.ever[1] - u64::from(good)];
        let past = before[0] as f64 / (before[0] + before[1]).max(1) as f64;
        let share = f64::from(bad) / f64::from(all.max(1));
        all >= SAMPLES && share > 0.5 && share > 4.0 * past
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_rejections_after_a_good_past_is_suspicious() {
        let start = Instant::now();
        let mut watch = RejectionWatch::default();
        for _ in 0..100 {
            watch.other(start);
        }
        let later = start + Duration::from_secs(60);
        for _ in 0..SAMPLES {
            assert!(!watch.is_suspicious(later));
            watch.unexplained(later);
        }
        assert!(watch.is_suspicious(later));
        assert!(!watch.is_suspicious(later + Duration::from_secs(31)));
    }

    #[test]
    fn who_always_rejected_much_is_believed() {
        let start = Instant::now();
        let mut watch = RejectionWatch::default();
        for second in 0..100 {
            watch.unexplained(start + Duration::from_secs(second));
            watch.other(start + Duration::from_secs(second));
            watch.unexplained(start + Duration::from_secs(second));
        }
        assert!(!watch.is_suspicious(start + Duration::from_secs(99)));
    }
}
