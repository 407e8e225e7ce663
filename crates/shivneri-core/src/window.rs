//! Two counters over the last `N` seconds.

use tokio::time::Instant;

/// Counts of two kinds, by second, over a sliding window of `N` seconds.
#[derive(Clone, Debug)]
pub(crate) struct SlidingCounts<const N: usize> {
    /// The first event's time; seconds count from there.
    origin: Option<Instant>,
    slots: [Slot; N],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Counts from 1, so that 0 marks a slot never used.
    second: u64,
    counts: [u32; 2],
}

impl<const N: usize> Default for SlidingCounts<N> {
    fn default() -> Self {
        Self { origin: None, slots: [Slot::default(); N] }
    }
}

impl<const N: usize> SlidingCounts<N> {
    /// Counts one event of the kind 0 or 1.
    pub(crate) fn add(&mut self, kind: usize, now: Instant) {
        let second = self.second_of(now);
        let slot = &mut self.slots[(second % N as u64) as usize];
        if slot.second != second {
            *slot = Slot { second, counts: [0; 2] };
        }
        slot.counts[kind] += 1;
    }

    /// Both counts over the window that ends now.
    pub(crate) fn sums(&self, now: Instant) -> [u32; 2] {
        let Some(origin) = self.origin else { return [0; 2] };
        let second = now.saturating_duration_since(origin).as_secs() + 1;
        self.slots
            .iter()
            .filter(|slot| slot.second > 0 && slot.second + N as u64 > second)
            .fold([0; 2], |sum, slot| [sum[0] + slot.counts[0], sum[1] + slot.counts[1]])
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn second_of(&mut self, now: Instant) -> u64 {
        let origin = *self.origin.get_or_insert(now);
        now.saturating_duration_since(origin).as_secs() + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_leave_the_window_as_it_moves_on() {
        let start = Instant::now();
        let mut counts = SlidingCounts::<10>::default();
        for second in 0..15 {
            counts.add(second % 2, start + Duration::from_secs(second as u64));
        }
        assert_eq!(counts.sums(start + Duration::from_secs(14)), [5, 5]);
        assert_eq!(counts.sums(start + Duration::from_secs(22)), [1, 1]);
        assert_eq!(counts.sums(start + Duration::from_secs(24)), [0, 0]);
    }
}
