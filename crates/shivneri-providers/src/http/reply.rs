//! A complete answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use jiff::fmt::rfc2822::DateTimeParser;
use serde::de::DeserializeOwned;
use shivneri_core::{Answer, Failure, SendError};

use super::{Redact, classify};

/// The shortest and the longest pause that is honoured.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(24 * 3600)];

/// How much of an answer is looked at for the few hundred characters that are kept of it.
const SHOWN: usize = 8 << 10;

/// A complete answer, its body cut at 64 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the request's last byte had gone by then. An answer that came before it refuses.
    pub(crate) handed_over: bool,
    pub(crate) redact: Arc<Redact>,
}

impl Reply {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON of this form, `None` where it is not.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header's value, where it is there and visible ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// What is kept of the answer, without secrets and addresses.
    pub(crate) fn answer(&self) -> Answer {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN)]);
        Answer::new(self.status.as_u16(), &self.redact.apply(&text))
    }

    /// An error of this kind that keeps the answer.
    pub(crate) fn error(&self, failure: Failure, detail: impl Into<String>) -> SendError {
        SendError::new(failure, detail).with_answer(self.answer())
    }

    /// The error that the status alone tells, for answers without a documented meaning.
    pub(crate) fn undocumented(&self) -> SendError {
        let pause = self.retry_after();
        let (failure, detail) = classify(self.status, pause, self.handed_over);
        self.error(failure, format!("{detail} (HTTP {})", self.status.as_u16()))
    }

    /// The pause of `Retry-After`, in seconds or until a date.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.header(header::RETRY_AFTER.as_str())?;
        match value.parse::<u64>() {
            Ok(seconds) => Some(honoured(Duration::from_secs(seconds))),
            Err(_) => self.pause_until(http_date(value)?),
        }
    }

    /// The pause until a time of the service's clock, which its `Date` header shows.
    pub(crate) fn pause_until(&self, until: SystemTime) -> Option<Duration> {
        let now = self.header(header::DATE.as_str()).and_then(http_date);
        let now = now.unwrap_or_else(SystemTime::now);
        Some(honoured(until.duration_since(now).unwrap_or_default()))
    }
}

/// At least a second, at most a day.
pub(crate) fn honoured(pause: Duration) -> Duration {
    pause.clamp(PAUSE[0], PAUSE[1])
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
pub(crate) fn http_date(text: &str) -> Option<SystemTime> {
    DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?.try_into().ok()
}

#[cfg(test)]
impl Reply {
    /// An answer to a request that was handed over.
    pub(crate) fn sample(status: u16, body: &str) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a test names a valid status"),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            handed_over: true,
            redact: Arc::new(Redact::new([])),
        }
    }

    /// The same with a header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().expect("a test names a valid header"));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date_and_kept_within_bounds() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, pause) in [
            ("120", seconds(120)),
            ("0", seconds(1)),
            ("999999999", seconds(24 * 3600)),
            ("Wed, 21 Oct 2015 07:30:00 GMT", seconds(120)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", seconds(1)),
            ("soon", None),
            ("-5", None),
        ] {
            let reply = Reply::sample(429, "")
                .with("date", "Wed, 21 Oct 2015 07:28:00 GMT")
                .with("retry-after", value);
            assert_eq!(reply.retry_after(), pause, "{value}");
        }
    }

    #[test]
    fn a_date_is_measured_by_our_clock_where_the_service_shows_none() {
        let reply = Reply::sample(429, "").with("retry-after", "Fri, 31 Dec 2999 23:59:59 GMT");
        assert_eq!(reply.retry_after(), Some(PAUSE[1]));
    }
}
