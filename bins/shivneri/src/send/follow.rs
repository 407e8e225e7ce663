//! `--wait`: follows messages until each has reached a final state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    client::{Client, Error},
    messages::show_call,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A message to follow: where it came from, and its id.
pub(super) type Followed = (String, String);

/// What was seen of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Finals {
    /// How many ended in each final state.
    pub(super) states: BTreeMap<String, u64>,
    /// Those that no provider took: place, id, state.
    pub(super) failed: Vec<(String, String, String)>,
    /// Those whose time ran out before they were final.
    pub(super) unfinished: Vec<Followed>,
}

impl Finals {
    /// Whether a provider took every one.
    pub(super) fn all_taken(&self) -> bool {
        self.failed.is_empty() && self.unfinished.is_empty()
    }

    fn count(&mut self, message: Followed, state: String) {
        *self.states.entry(state.clone()).or_insert(0) += 1;
        if !matches!(state.as_str(), "accepted" | "delivered") {
            self.failed.push((message.0, message.1, state));
        }
    }
}

/// Whether a message in this state may still move on by itself.
fn is_unfinished(state: &str) -> bool {
    matches!(state, "scheduled" | "queued" | "sending")
}

#[derive(Deserialize)]
struct State {
    status: String,
}

/// Asks for every message in rounds, `at_once` at a time, with growing pauses in between. Calls
/// `seen` with the number of those that are done.
///
/// A server that is gone may come back before the time is over. One that refuses to tell ends
/// the wait, with the error beside what was seen until then.
pub(super) async fn follow(
    client: &Arc<Client>,
    messages: Vec<Followed>,
    at_once: usize,
    timeout: Duration,
    seen: impl Fn(u64),
) -> (Finals, Option<Error>) {
    let deadline = Instant::now() + timeout;
    let (mut finals, mut open, mut pause) = (Finals::default(), messages, FIRST_PAUSE);
    let (mut done, mut refused) = (0, None);
    loop {
        let (mut waiting, mut round, mut asked) = (Vec::new(), open.into_iter(), JoinSet::new());
        loop {
            while asked.len() < at_once
                && let Some(message) = round.next()
            {
                let client = Arc::clone(client);
                asked.spawn(async move {
                    let body = client.call(&show_call(&message.1)).await;
                    (message, body.and_then(|body| client.read::<State>(&body)))
                });
            }
            let Some(joined) = asked.join_next().await else { break };
            let (message, state) = joined.expect("asking for a message does not panic");
            match state.map(|state| state.status) {
                Ok(state) if is_unfinished(&state) => waiting.push(message),
                Ok(state) => {
                    done += 1;
                    seen(done);
                    finals.count(message, state);
                }
                Err(Error::Unreachable { .. } | Error::Lost { .. }) => waiting.push(message),
                Err(error @ (Error::Refused(_) | Error::Strange { .. })) => {
                    waiting.push(message);
                    waiting.extend(round.by_ref());
                    refused.get_or_insert(error);
                }
            }
        }
        open = waiting;
        let next = Instant::now() + pause;
        if open.is_empty() || next > deadline || refused.is_some() {
            finals.unfinished = open;
            finals.failed.sort();
            return (finals, refused);
        }
        sleep_until(next).await;
        pause = longer(pause);
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 3 / 2).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_no_further() {
        let mut pauses = vec![FIRST_PAUSE];
        while let Some(&last) = pauses.last()
            && last < LONGEST_PAUSE
        {
            pauses.push(longer(last));
        }
        assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]) && pauses.len() > 8);
        assert_eq!(longer(LONGEST_PAUSE), LONGEST_PAUSE);
    }

    #[test]
    fn a_state_that_is_not_known_yet_ends_the_wait_and_is_no_success() {
        let mut finals = Finals::default();
        for (state, unfinished) in [
            ("scheduled", true),
            ("queued", true),
            ("sending", true),
            ("in_doubt", false),
            ("new", false),
        ] {
            assert_eq!(is_unfinished(state), unfinished, "{state}");
        }
        for state in ["accepted", "delivered"] {
            finals.count(("a:1".into(), "01".into()), state.into());
        }
        assert!(finals.all_taken());
        finals.count(("a:2".into(), "02".into()), "in_doubt".into());
        assert!(!finals.all_taken());
    }
}
