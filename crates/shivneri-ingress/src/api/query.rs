//! What a list of messages is narrowed by.

use std::str::FromStr;

use shivneri_core::draft::FieldError;
use shivneri_spool::Search;

use super::times;
use crate::problem::Problem;

/// Reads a search. A parameter without a value counts as absent.
///
/// # Errors
///
/// 422, which names every parameter that is not known, not valid, or there twice.
pub(super) fn search(pairs: &[(String, String)]) -> Result<Search, Problem> {
    let mut search = Search::default();
    let mut errors = Vec::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
            errors.push(FieldError::new(shorten(name), "is there twice"));
        } else if !value.is_empty() {
            let taken = take(&mut search, name, value);
            errors.extend(taken.err().map(|reason| FieldError::new(shorten(name), reason)));
        } else if !NAMES.contains(&name.as_str()) {
            errors.push(FieldError::new(shorten(name), unknown()));
        }
    }
    if errors.is_empty() { Ok(search) } else { Err(Problem::fields(errors)) }
}

const NAMES: [&str; 9] =
    ["status", "recipient", "provider", "tag", "q", "since", "until", "cursor", "limit"];

fn unknown() -> String {
    format!("is not a parameter of this list; there are {}", NAMES.join(", "))
}

fn take(search: &mut Search, name: &str, value: &str) -> Result<(), String> {
    match name {
        "status" => search.status = Some(parsed(value)?),
        "recipient" => search.recipient = Some(value.to_owned()),
        "provider" => search.provider = Some(parsed(value)?),
        "tag" => search.tag = Some(value.to_owned()),
        "q" => search.q = Some(value.to_owned()),
        "since" => search.since = Some(times::read(value)?),
        "until" => search.until = Some(times::read(value)?),
        "cursor" => search.cursor = Some(parsed(value)?),
        "limit" => {
            let limit = value.parse().ok().filter(|n| (1..=Search::MAX_LIMIT).contains(n));
            let reason = || format!("is not a number from 1 to {}", Search::MAX_LIMIT);
            search.limit = Some(limit.ok_or_else(reason)?);
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

fn parsed<T: FromStr<Err: ToString>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

fn shorten(name: &str) -> String {
    name.chars().take(80).collect()
}
