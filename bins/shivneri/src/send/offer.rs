//! One message offered to the server until it says yes or no.

use std::{sync::Mutex, time::Duration};

use serde::Deserialize;
use tokio::time::Instant;

use crate::client::{Call, Client, Error, Pace, Problem, draw};

/// What became of an offer.
#[derive(Debug)]
pub(super) enum Fate {
    /// The server has it, safely.
    Accepted(Accepted),
    /// The server, or this program, does not want it.
    Refused(Problem),
    /// No word about this message, and none to be expected about others.
    Stopped(Error),
}

/// The server's 202.
#[derive(Debug, Deserialize)]
pub(super) struct Accepted {
    pub(super) id: String,
    pub(super) status: String,
    /// The answer as it came.
    #[serde(skip)]
    pub(super) body: String,
    /// Whether it was accepted before, under the same key.
    #[serde(skip)]
    pub(super) replayed: bool,
}

/// The pace that all offers of a run share.
pub(super) type SharedPace = Mutex<Pace>;

/// Offers a message. The key makes it safe to offer it again when an answer was lost.
pub(super) async fn offer(
    client: &Client,
    pace: &SharedPace,
    key: &str,
    body: bytes::Bytes,
) -> Fate {
    let call = Call::post(&["v1", "messages"]).body(body).idempotency_key(key);
    let locked = || pace.lock().expect("no code panics while it holds the pace");
    loop {
        loop {
            let shut = locked().shut_until().filter(|until| *until > Instant::now());
            match shut {
                Some(until) => tokio::time::sleep_until(until).await,
                None => break,
            }
        }
        let result = client.try_once(&call).await.and_then(|answer| {
            let accepted: Accepted = client.read(&answer.body)?;
            Ok(Accepted { body: answer.body, replayed: answer.replayed, ..accepted })
        });
        let error = match result {
            Ok(accepted) => {
                locked().answered();
                return Fate::Accepted(accepted);
            }
            Err(error) => error,
        };
        let again = match judge(&error) {
            Judgement::Refused(problem) => {
                locked().answered();
                return Fate::Refused(problem);
            }
            Judgement::Hopeless => None,
            Judgement::Busy(wait) => locked().busy(Instant::now(), wait, draw()),
            Judgement::Silent => locked().silent(Instant::now(), draw()),
        };
        match again {
            Some(at) => tokio::time::sleep_until(at).await,
            None => return Fate::Stopped(error),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// A word about this message alone.
    Refused(Problem),
    /// Nothing will be accepted, however long we wait.
    Hopeless,
    /// Later.
    Busy(Option<Duration>),
    /// Nobody there, or nobody who could answer.
    Silent,
}

fn judge(error: &Error) -> Judgement {
    match error {
        Error::Unreachable { .. } | Error::Lost { .. } => Judgement::Silent,
        Error::Strange { .. } => Judgement::Hopeless,
        Error::Refused(problem) => match problem.status() {
            429 | 503 => Judgement::Busy(problem.retry_after()),
            // An equal request, whose answer was lost to us, still runs.
            409 if problem.code() == Some("request_in_progress") => {
                Judgement::Busy(problem.retry_after())
            }
            // A gateway stands where the server should.
            502 | 504 => Judgement::Silent,
            // No key, or not the place where messages are taken.
            300..=399 | 401 | 404 | 405 => Judgement::Hopeless,
            _ => Judgement::Refused(problem.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Judgement {
        judge(&Error::Refused(Problem::read(status, Some(Duration::from_secs(7)), body.as_bytes())))
    }

    #[test]
    fn a_word_about_one_message_stops_no_other() {
        for status in [400, 403, 409, 413, 415, 422, 500] {
            assert!(matches!(judged(status, "{}"), Judgement::Refused(_)), "{status}");
        }
        for status in [301, 401, 404, 405] {
            assert_eq!(judged(status, "{}"), Judgement::Hopeless, "{status}");
        }
    }

    #[test]
    fn who_asks_to_come_again_later_is_asked_again() {
        let later = Judgement::Busy(Some(Duration::from_secs(7)));
        assert_eq!(judged(429, ""), later);
        assert_eq!(judged(503, ""), later);
        assert_eq!(judged(409, r#"{"code":"request_in_progress"}"#), later);
        assert_eq!(judged(502, "<html>"), Judgement::Silent);
    }

    #[test]
    fn a_lost_answer_is_asked_for_again() {
        let lost = Error::Lost { url: "http://h".into(), reason: "reset".into() };
        assert_eq!(judge(&lost), Judgement::Silent);
        let strange = Error::Strange { url: "http://h".into(), reason: "html".into() };
        assert_eq!(judge(&strange), Judgement::Hopeless);
    }
}
