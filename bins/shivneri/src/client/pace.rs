//! When a call is made again, and when it is given up: pure, with the time passed in.

use std::time::Duration;

use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// How long a server that was never there is looked for.
const FIRST_CONTACT: Duration = Duration::from_secs(1);

/// The pace at which a server is asked: shared by all calls of a run, so that one answer that
/// asks for a pause quiets them all.
#[derive(Debug)]
pub(crate) struct Pace {
    budget: Duration,
    answered: bool,
    silent_since: Option<Instant>,
    busy_since: Option<Instant>,
    shut_until: Option<Instant>,
}

impl Pace {
    /// Goes on through trouble for `budget` without a single success.
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, answered: false, silent_since: None, busy_since: None, shut_until: None }
    }

    /// The server did what it was asked, or said no for good.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
        self.silent_since = None;
        self.busy_since = None;
    }

    /// Nobody is asked before this time.
    pub(crate) fn shut_until(&self) -> Option<Instant> {
        self.shut_until
    }

    /// The server asked to come again later. When to; `None` once the budget doesn't reach so
    /// far, since coming earlier than it asks is no use.
    pub(crate) fn busy(
        &mut self,
        now: Instant,
        retry_after: Option<Duration>,
        draw: u64,
    ) -> Option<Instant> {
        self.answered = true;
        self.silent_since = None;
        let since = *self.busy_since.get_or_insert(now);
        let wait = match retry_after {
            Some(asked) => asked.max(SHORTEST),
            None => backoff(now - since, draw),
        };
        let again = now + wait;
        if again > since + self.budget {
            return None;
        }
        self.shut_until = self.shut_until.max(Some(again));
        Some(again)
    }

    /// No connection, or none that held. When to try again; `None` once the budget is spent. A
    /// server that never answered is given up after a second.
    pub(crate) fn silent(&mut self, now: Instant, draw: u64) -> Option<Instant> {
        let since = *self.silent_since.get_or_insert(now);
        let budget = if self.answered { self.budget } else { self.budget.min(FIRST_CONTACT) };
        let again = now + backoff(now - since, draw);
        (again <= since + budget).then_some(again)
    }
}

/// Half as long as the trouble has lasted so far, from ¼ s to 5 s, jittered down to its half.
fn backoff(lasted: Duration, draw: u64) -> Duration {
    let whole = (lasted / 2).clamp(SHORTEST, LONGEST);
    whole / 2 + (whole / 2).mul_f64(draw as f64 / u64::MAX as f64)
}

/// A random number.
pub(crate) fn draw() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 << 2
}

/// A `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_not_asked_before_it_says() {
        let now = Instant::now();
        let mut pace = Pace::new(MINUTE);
        assert_eq!(pace.busy(now, Some(secs(7)), 0), Some(now + secs(7)));
        assert_eq!(pace.shut_until(), Some(now + secs(7)), "and no other call asks either");
        pace.busy(now, Some(secs(2)), 0);
        assert_eq!(pace.shut_until(), Some(now + secs(7)), "a shorter pause opens nothing earlier");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_budget_is_not_waited_for() {
        let now = Instant::now();
        assert_eq!(Pace::new(MINUTE).busy(now, Some(secs(3600)), 0), None);
        let mut pace = Pace::new(MINUTE);
        assert!(pace.busy(now, Some(secs(40)), 0).is_some());
        assert_eq!(pace.busy(now + secs(40), Some(secs(40)), 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_gives_the_whole_budget_back() {
        let now = Instant::now();
        let mut pace = Pace::new(MINUTE);
        pace.busy(now, Some(secs(40)), 0);
        pace.answered();
        assert!(pace.busy(now + secs(41), Some(secs(40)), 0).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_was_there_is_given_up_within_a_second() {
        let start = Instant::now();
        let (mut pace, mut now, mut tries) = (Pace::new(MINUTE), start, 1);
        while let Some(again) = pace.silent(now, u64::MAX) {
            now = again;
            tries += 1;
        }
        assert!(now <= start + secs(1) && tries >= 3, "{tries} tries");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_goes_away_is_waited_for_as_long_as_was_said() {
        let start = Instant::now();
        let mut pace = Pace::new(MINUTE);
        pace.answered();
        let mut now = start;
        while let Some(again) = pace.silent(now, 0) {
            assert!(again - now <= LONGEST);
            now = again;
        }
        assert!(now > start + secs(50) && now <= start + MINUTE);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        for (value, expected) in [
            ("30", Some(secs(30))),
            (" 0 ", Some(secs(0))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(secs(30))),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(secs(0))),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }
}
