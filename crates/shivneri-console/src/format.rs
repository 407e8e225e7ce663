//! Times, durations and sizes as people read them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use maud::{Markup, html};

/// A moment, with the machine's form beside it.
pub(crate) fn moment(at: SystemTime) -> Markup {
    let stamp = stamp(at);
    html! { time datetime=(stamp.strftime("%Y-%m-%dT%H:%M:%SZ")) { (words(stamp)) } }
}

/// A moment in a table whose head says that it is UTC.
pub(crate) fn entry(at: SystemTime) -> Markup {
    let stamp = stamp(at);
    html! {
        time datetime=(stamp.strftime("%Y-%m-%dT%H:%M:%SZ")) {
            (stamp.strftime("%Y-%m-%d %H:%M:%S"))
        }
    }
}

/// How long ago something was. The script lets it run on; without one it is as coarse as
/// [`age`].
pub(crate) fn since(at: SystemTime, now: SystemTime) -> Markup {
    let stamp = stamp(at);
    let ago = now.duration_since(at).unwrap_or_default();
    html! {
        time data-age datetime=(stamp.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(words(stamp)) {
            (age(ago))
        }
    }
}

/// A time before 1970 or after 9999 is shown as 1970.
fn stamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

fn words(stamp: Timestamp) -> String {
    stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A duration in its largest unit. Coarse, so that a page does not change each second.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        0..60 => "under 1 min".to_owned(),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A latency: `42 ms`, `1.3 s`.
pub(crate) fn latency(latency: Duration) -> String {
    if latency < Duration::from_secs(1) {
        format!("{} ms", latency.as_millis().max(1))
    } else {
        format!("{:.1} s", latency.as_secs_f64())
    }
}

/// How long an attempt took.
pub(crate) fn took(from: SystemTime, to: SystemTime) -> String {
    latency(to.duration_since(from).unwrap_or_default())
}

/// A size in bytes: `17 B`, `4.2 KiB`.
pub(crate) fn size(bytes: usize) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

/// A count with its thousands apart: `1 234 567`, by narrow spaces that don't break.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_their_largest_unit() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_400 * 3].map(|s| age(Duration::from_secs(s)));
        assert_eq!(ages, ["under 1 min", "under 1 min", "1 min", "59 min", "1 h", "3 d"]);
        let latencies = [0, 42, 999, 1_000, 61_260].map(|ms| latency(Duration::from_millis(ms)));
        assert_eq!(latencies, ["1 ms", "42 ms", "999 ms", "1.0 s", "61.3 s"]);
    }

    #[test]
    fn sizes_and_counts_keep_their_magnitude() {
        let sizes = [0, 1023, 1024, 5 << 20, 3 << 30].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 GiB"]);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }

    #[test]
    fn a_moment_is_written_in_utc_and_a_strange_one_does_no_harm() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(86_461);
        assert!(moment(at).into_string().contains("1970-01-02 00:01:01 UTC"));
        let odd = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert!(moment(odd).into_string().contains("1970-01-01"));
    }
}
