//! Percentiles of a provider's answers over the last one to two minutes, in 350 bytes.

use std::time::Duration;

use tokio::time::Instant;

/// Four buckets to a doubling, from 64 µs to about 134 s: within a fifth of the true value.
const BUCKETS: usize = 84;
const PERIOD: Duration = Duration::from_secs(60);

/// A histogram of latencies that forgets what is older than two minutes.
#[derive(Clone, Debug)]
pub struct Latency {
    current: [u16; BUCKETS],
    previous: [u16; BUCKETS],
    turned: Option<Instant>,
    known: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { current: [0; BUCKETS], previous: [0; BUCKETS], turned: None, known: 0 }
    }
}

impl Latency {
    /// Takes in one answer.
    pub fn record(&mut self, latency: Duration, now: Instant) {
        let turned = *self.turned.get_or_insert(now);
        let age = now.saturating_duration_since(turned);
        if age >= PERIOD {
            let previous = std::mem::replace(&mut self.current, [0; BUCKETS]);
            self.previous = if age < PERIOD * 2 { previous } else { [0; BUCKETS] };
            self.turned = Some(now);
        }
        let bucket = &mut self.current[bucket_of(latency)];
        *bucket = bucket.saturating_add(1);
        self.known += 1;
    }

    /// How many answers were ever taken in.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The latency that this share of recent answers stays within; `None` without any.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let of = |i: usize| u64::from(self.current[i]) + u64::from(self.previous[i]);
        let total: u64 = (0..BUCKETS).map(of).sum();
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        (0..BUCKETS)
            .find(|&i| {
                seen += of(i);
                total > 0 && seen >= wanted
            })
            .map(upper_bound)
    }
}

fn bucket_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(64);
    let doubling = micros.ilog2();
    let quarter = (micros >> (doubling - 2)) & 3;
    (((doubling - 6) as usize) * 4 + quarter as usize).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> Duration {
    let (doubling, quarter) = (bucket as u32 / 4 + 6, bucket as u64 % 4);
    Duration::from_micros((4 + quarter + 1) << (doubling - 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_within_a_quarter_of_what_it_holds(micros in 64_u64..130_000_000) {
            let bound = upper_bound(bucket_of(Duration::from_micros(micros))).as_micros() as f64;
            prop_assert!(bound >= micros as f64 && bound <= micros as f64 * 1.26);
        }
    }

    #[test]
    fn old_answers_are_forgotten() {
        let start = Instant::now();
        let mut latency = Latency::default();
        for _ in 0..100 {
            latency.record(Duration::from_secs(5), start);
        }
        let later = start + Duration::from_secs(150);
        latency.record(Duration::from_millis(10), later);
        assert!(latency.percentile(0.99).unwrap() < Duration::from_millis(13));
        assert_eq!(latency.known(), 101);
    }

    #[test]
    fn percentiles_separate_the_many_from_the_few() {
        let now = Instant::now();
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(0.5), None);
        for i in 0..100 {
            let millis = if i < 95 { 20 } else { 900 };
            latency.record(Duration::from_millis(millis), now);
        }
        assert!(latency.percentile(0.5).unwrap() < Duration::from_millis(26));
        assert!(latency.percentile(0.99).unwrap() > Duration::from_millis(890));
    }
}
