//! Small types as numbers and lines of text, and back.

use std::time::Duration;

use rusqlite::types::Type;
use shivneri_core::{Doubt, EmailAddress, OnDoubt, delivery::PastEnd};

use crate::Status;

/// The number of the first final status.
pub(super) const FINAL: i64 = 10;

/// A status as it is stored. Numbers are never given twice.
pub(super) const fn of_status(status: Status) -> i64 {
    match status {
        Status::Scheduled => 0,
        Status::Queued => 1,
        Status::Sending => 2,
        Status::Accepted => 10,
        Status::Delivered => 11,
        Status::Cancelled => 12,
        Status::Suppressed => 13,
        Status::Expired => 14,
        Status::Rejected => 15,
        Status::InDoubt => 16,
        Status::Bounced => 17,
        Status::Complained => 18,
        Status::Damaged => 19,
    }
}

pub(super) fn status(code: i64) -> rusqlite::Result<Status> {
    let found = Status::ALL.into_iter().find(|status| of_status(*status) == code);
    found.ok_or_else(|| unreadable("status", code))
}

pub(super) const fn of_on_doubt(on_doubt: OnDoubt) -> i64 {
    match on_doubt {
        OnDoubt::Resend => 0,
        OnDoubt::Hold => 1,
    }
}

pub(super) fn on_doubt(code: i64) -> rusqlite::Result<OnDoubt> {
    [OnDoubt::Resend, OnDoubt::Hold]
        .into_iter()
        .find(|one| of_on_doubt(*one) == code)
        .ok_or_else(|| unreadable("word on doubt", code))
}

const PAST: [PastEnd; 6] = [
    PastEnd::Unexplained,
    PastEnd::Recipients,
    PastEnd::Unavailable,
    PastEnd::Uncounted,
    PastEnd::InDoubt(Doubt::Weak),
    PastEnd::InDoubt(Doubt::Strong),
];

pub(super) const fn of_past(past: PastEnd) -> i64 {
    match past {
        PastEnd::Unexplained => 0,
        PastEnd::Recipients => 1,
        PastEnd::Unavailable => 2,
        PastEnd::Uncounted => 3,
        PastEnd::InDoubt(Doubt::Weak) => 4,
        PastEnd::InDoubt(Doubt::Strong) => 5,
    }
}

pub(super) fn past(code: i64) -> rusqlite::Result<PastEnd> {
    PAST.into_iter().find(|past| of_past(*past) == code).ok_or_else(|| unreadable("end", code))
}

pub(super) fn of_duration(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// Names or addresses, one a line: none of them can hold a line break.
pub(super) fn of_lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for line in lines {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line.as_ref());
    }
    text
}

pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').filter(|line| !line.is_empty())
}

pub(super) fn of_addresses(addresses: &[EmailAddress]) -> Option<String> {
    (!addresses.is_empty()).then(|| of_lines(addresses.iter().map(EmailAddress::as_str)))
}

pub(super) fn addresses(text: &str) -> rusqlite::Result<Vec<EmailAddress>> {
    lines(text).map(parsed).collect()
}

pub(super) fn of_marks(marks: &[(EmailAddress, Status)]) -> Option<String> {
    let line = |(address, status): &(EmailAddress, Status)| {
        format!("{} {}", of_status(*status), address.as_str())
    };
    (!marks.is_empty()).then(|| of_lines(marks.iter().map(line)))
}

pub(super) fn marks(text: &str) -> rusqlite::Result<Vec<(EmailAddress, Status)>> {
    let mark = |line: &str| {
        let (code, address) = line.split_once(' ').ok_or_else(|| unreadable("mark", line))?;
        Ok((parsed(address)?, status(parsed(code)?)?))
    };
    lines(text).map(mark).collect()
}

/// Parses a stored text.
pub(super) fn parsed<T>(text: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
    })
}

/// Whether an error is about a value that does not hold, which is its record's trouble alone.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

pub(super) fn unreadable(what: &str, value: impl std::fmt::Display) -> rusqlite::Error {
    let reason = format!("{value} is no {what}");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_and_none_is_given_twice() {
        for one in Status::ALL {
            assert_eq!(status(of_status(one)).unwrap(), one);
            assert_eq!(of_status(one) >= FINAL, one.is_final(), "{one}");
        }
        for one in PAST {
            assert_eq!(past(of_past(one)).unwrap(), one);
        }
        for one in [OnDoubt::Resend, OnDoubt::Hold] {
            assert_eq!(on_doubt(of_on_doubt(one)).unwrap(), one);
        }
        assert!(status(99).is_err() && past(99).is_err() && on_doubt(99).is_err());
    }

    #[test]
    fn marks_and_addresses_come_back_from_their_lines() {
        let list: Vec<EmailAddress> =
            ["\"a b\"@example.org", "c@d"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(addresses(&of_addresses(&list).unwrap()).unwrap(), list);
        let marked: Vec<_> = list.into_iter().map(|one| (one, Status::Bounced)).collect();
        assert_eq!(marks(&of_marks(&marked).unwrap()).unwrap(), marked);
        assert_eq!(of_marks(&[]), None);
    }
}
