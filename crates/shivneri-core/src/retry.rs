//! When to try again: the schedule for later, and the budget for at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::window::SlidingCounts;

/// The shortest wait.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest the schedule's ceiling grows to.
pub const LONGEST: Duration = Duration::from_secs(3600);
const FIRST_CEILING: Duration = Duration::from_secs(10);

/// The wait before the try after `k` failed ones: full jitter under a doubling ceiling,
/// `max(1 s, rand(0, min(1 h, 10 s · 2^k)))`.
///
/// `draw` is uniform over `u64`.
///
/// ```
/// use std::time::Duration;
/// use shivneri_core::retry::delay;
///
/// let ceilings: Vec<u64> = (0..10).map(|k| delay(k, u64::MAX).as_secs()).collect();
/// assert_eq!(ceilings, [9, 19, 39, 79, 159, 319, 639, 1279, 2559, 3599]);
/// assert_eq!(delay(5, 0), Duration::from_secs(1));
/// ```
pub fn delay(k: u32, draw: u64) -> Duration {
    let ceiling =
        FIRST_CEILING.saturating_mul(1_u32.checked_shl(k).unwrap_or(u32::MAX)).min(LONGEST);
    fraction_of(ceiling, draw).max(SHORTEST)
}

/// The same for what has so much time left: half of it at most, so that mail waits for a provider
/// that is back and not for its own end.
///
/// ```
/// use std::time::Duration;
/// use shivneri_core::retry::delay_within;
///
/// let minute = Duration::from_secs(60);
/// assert_eq!(delay_within(minute, 0, u64::MAX).as_secs(), 9);
/// assert_eq!(delay_within(minute, 5, u64::MAX), minute / 2);
/// ```
pub fn delay_within(left: Duration, k: u32, draw: u64) -> Duration {
    delay(k, draw).min(left / 2).max(SHORTEST)
}

/// A uniform share of `whole`, by a uniform `draw`.
pub(crate) fn fraction_of(whole: Duration, draw: u64) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(draw)) >> 64;
    Duration::from_nanos(nanos as u64)
}

/// Limits immediate second tries at one provider: 20 % of its first tries over the last 10 s,
/// plus 10 a second. So a wave of failures elsewhere can't drown the provider that still works.
///
/// An exhausted budget delays, it never drops.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    tries: SlidingCounts<WINDOW>,
}

const WINDOW: usize = 10;
const RESERVE_PER_SECOND: u32 = 10;
const FIRST: usize = 0;
const AGAIN: usize = 1;

impl RetryBudget {
    /// Counts a first try.
    pub fn first_try(&mut self, now: Instant) {
        self.tries.add(FIRST, now);
    }

    /// Whether a second try may go at once.
    pub fn allows(&self, now: Instant) -> bool {
        let [first, again] = self.tries.sums(now);
        again < first / 5 + RESERVE_PER_SECOND * WINDOW as u32
    }

    /// Counts a second try.
    pub fn second_try(&mut self, now: Instant) {
        self.tries.add(AGAIN, now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_lies_between_a_second_and_an_hour(k in 0_u32..200, draw: u64) {
            let delay = delay(k, draw);
            prop_assert!((SHORTEST..=LONGEST).contains(&delay));
        }
    }

    #[test]
    fn second_tries_are_a_fifth_of_first_tries_plus_ten_a_second() {
        let now = Instant::now();
        let mut budget = RetryBudget::default();
        for _ in 0..500 {
            budget.first_try(now);
        }
        let mut allowed = 0;
        while budget.allows(now) {
            budget.second_try(now);
            allowed += 1;
        }
        assert_eq!(allowed, 500 / 5 + 100);
        assert!(budget.allows(now + Duration::from_secs(10)), "the window has moved on");
    }
}
