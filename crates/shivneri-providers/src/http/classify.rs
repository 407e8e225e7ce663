//! What a status means where the service documents nothing better.

use std::time::Duration;

use http::StatusCode;
use shivneri_core::{Doubt, Failure, Fault, Scope};

/// The failure behind a complete answer that is no documented one, and why in words.
///
/// A 2xx belongs here too when it has no id: it settles nothing. While the request's last byte is
/// still in our hands nothing can have been sent, whatever the status.
pub(crate) fn classify(
    status: StatusCode,
    retry_after: Option<Duration>,
    handed_over: bool,
) -> (Failure, &'static str) {
    let weak = if handed_over { Failure::InDoubt(Doubt::Weak) } else { Failure::Unavailable };
    match (status.as_u16(), retry_after) {
        (401 | 403, _) => (Failure::AccountFault(Fault::Key), "the key is not accepted"),
        (413, _) => (Failure::Unsupported, "too large"),
        (429, _) => (Failure::Throttled { retry_after }, "too many requests"),
        (503, Some(_)) => (Failure::Throttled { retry_after }, "asked to come back later"),
        (200..=299, _) => (weak, "a success without a message id"),
        (300..=399, _) => (weak, "a redirect, which is not followed"),
        (400..=499, _) => (Failure::Rejected(Scope::Unexplained), "refused"),
        _ => (weak, "the service failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let soon = Some(Duration::from_secs(5));
        let weak = Failure::InDoubt(Doubt::Weak);
        let unexplained = Failure::Rejected(Scope::Unexplained);
        for (status, retry_after, failure) in [
            (200, None, weak.clone()),
            (202, None, weak.clone()),
            (301, None, weak.clone()),
            (308, None, weak.clone()),
            (400, None, unexplained.clone()),
            (401, None, Failure::AccountFault(Fault::Key)),
            (403, None, Failure::AccountFault(Fault::Key)),
            (404, None, unexplained.clone()),
            (413, None, Failure::Unsupported),
            (422, None, unexplained),
            (429, None, Failure::Throttled { retry_after: None }),
            (429, soon, Failure::Throttled { retry_after: soon }),
            (500, None, weak.clone()),
            (500, soon, weak.clone()),
            (502, None, weak.clone()),
            (503, None, weak.clone()),
            (503, soon, Failure::Throttled { retry_after: soon }),
            (504, None, weak.clone()),
            (599, None, weak),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(classify(status, retry_after, true).0, failure, "{status}");
        }
    }

    #[test]
    fn nothing_is_in_doubt_while_the_last_byte_is_in_our_hands() {
        for status in (100..=999).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let (failure, _) = classify(status, None, false);
            assert!(!matches!(failure, Failure::InDoubt(_)), "{status}");
        }
    }
}
