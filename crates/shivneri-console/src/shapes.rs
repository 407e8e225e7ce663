//! Status as word, colour and shape, so that none of them has to carry it alone.

use maud::{Markup, html};
use shivneri_core::health::Status as Health;
use shivneri_spool::Status;

/// How a status is meant; the stylesheet gives each a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Moving,
    Warning,
    Bad,
    Off,
}

impl Tone {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }
}

const DISC: &str = "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z";
const TICK: &str = "M6.4 13.4 1.8 8.7l1.7-1.7 2.8 2.9 6.2-7 1.8 1.6z";
const RING: &str = "M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6zm0 2.2a4.2 4.2 0 1 0 0 8.4 \
    4.2 4.2 0 0 0 0-8.4z";
const HALF: &str =
    "M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6zm0 2.2v8.4a4.2 4.2 0 0 0 0-8.4z";
const EYE: &str = "M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6zm0 2a4.4 4.4 0 1 0 0 8.8 4.4 \
    4.4 0 0 0 0-8.8zM8 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4z";
const BARS: &str = "M3.5 2.5h3.2v11H3.5zM9.3 2.5h3.2v11H9.3z";
const SQUARE: &str = "M2.5 2.5h11v11h-11z";
const TRIANGLE: &str = "M8 1.6 15 14H1zM7.2 6v4h1.6V6zm0 5v1.6h1.6V11z";
const CROSS: &str =
    "m3.6 1.8 4.4 4.4 4.4-4.4 1.8 1.8L9.8 8l4.4 4.4-1.8 1.8L8 9.8l-4.4 4.4-1.8-1.8L6.2 8 1.8 3.6z";
const DIAMOND: &str = "M8 .8 15.2 8 8 15.2.8 8zM7.2 4.2v4.6h1.6V4.2zm0 5.6v1.6h1.6V9.8z";
const DOWN: &str = "M6.6 1.8h2.8v6h4L8 14.4 2.6 7.8h4z";
const RIGHT: &str = "M1.8 6.6h6v-4L14.4 8l-6.6 5.4v-4h-6z";
const MINUS: &str = "M2 6.6h12v2.8H2z";
const CLOCK: &str =
    "M8 1.6a6.4 6.4 0 1 1 0 12.8A6.4 6.4 0 0 1 8 1.6zm-.9 2.6v4.4l3.4 2 .9-1.5-2.5-1.5V4.2z";

/// A provider's status.
pub(crate) fn of_provider(status: Health) -> (Tone, &'static str) {
    match status {
        Health::Active => (Tone::Good, DISC),
        Health::Recovering => (Tone::Moving, HALF),
        Health::Probing => (Tone::Moving, EYE),
        Health::Suspect => (Tone::Warning, TRIANGLE),
        Health::Stalled => (Tone::Warning, SQUARE),
        Health::Throttled => (Tone::Warning, BARS),
        Health::Open => (Tone::Bad, CROSS),
        Health::Misconfigured => (Tone::Bad, DIAMOND),
        Health::Offline => (Tone::Bad, RING),
        Health::Draining => (Tone::Off, DOWN),
        Health::Disabled => (Tone::Off, MINUS),
    }
}

/// A message's status.
fn of_message(status: Status) -> (Tone, &'static str) {
    match status {
        Status::Scheduled => (Tone::Moving, CLOCK),
        Status::Queued => (Tone::Moving, RING),
        Status::Sending => (Tone::Moving, RIGHT),
        Status::Accepted => (Tone::Good, DISC),
        Status::Delivered => (Tone::Good, TICK),
        Status::Cancelled | Status::Suppressed => (Tone::Off, MINUS),
        Status::InDoubt => (Tone::Warning, TRIANGLE),
        Status::Expired => (Tone::Bad, CLOCK),
        Status::Rejected => (Tone::Bad, CROSS),
        Status::Bounced => (Tone::Bad, DOWN),
        Status::Complained | Status::Damaged => (Tone::Bad, DIAMOND),
    }
}

/// The word for people: `in doubt` instead of `in_doubt`.
pub(crate) fn word(status: Status) -> String {
    status.as_str().replace('_', " ")
}

/// A shape that says nothing to who can't see it; its word stands beside it.
pub(crate) fn shape(path: &str) -> Markup {
    html! {
        svg.shape viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" {
            path d=(path) fill="currentColor" fill-rule="evenodd" {}
        }
    }
}

/// A badge of shape and word.
pub(crate) fn badge((tone, path): (Tone, &str), word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (shape(path)) (word) } }
}

/// A message's or recipient's status.
pub(crate) fn message_badge(status: Status) -> Markup {
    badge(of_message(status), &word(status))
}

/// An attempt's outcome, by its word; none while it is open.
pub(crate) fn outcome_badge(outcome: Option<&str>) -> Markup {
    let Some(word) = outcome else { return badge((Tone::Moving, RIGHT), "under way") };
    let look = match word {
        "accepted" => (Tone::Good, DISC),
        "in_doubt" => (Tone::Warning, TRIANGLE),
        "throttled" => (Tone::Warning, BARS),
        "unsupported" | "not_started" => (Tone::Off, MINUS),
        "account_fault" => (Tone::Bad, DIAMOND),
        // Rejected, unavailable, and whatever word a later version may write.
        _ => (Tone::Bad, CROSS),
    };
    badge(look, &word.replace('_', " "))
}

/// A mark beside a status: mail was perhaps sent, or perhaps sent twice.
pub(crate) fn doubt_badge(word: &str) -> Markup {
    badge((Tone::Warning, TRIANGLE), word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_statuses_of_a_provider_share_a_shape() {
        let shapes: BTreeSet<_> = Health::ALL.map(|status| of_provider(status).1).into();
        assert_eq!(shapes.len(), Health::ALL.len());
    }

    #[test]
    fn an_outcome_is_shown_by_its_word_and_an_open_attempt_too() {
        assert!(outcome_badge(Some("account_fault")).into_string().contains("account fault"));
        assert!(outcome_badge(None).into_string().contains("under way"));
    }
}
