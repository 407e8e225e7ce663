//! What the server's tasks and its owner share.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Answer, Reply};

/// A request as it arrived; cut off where the reply cut it off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The method, as `POST`.
    pub method: String,
    /// The path with its query, as it stood in the request line.
    pub path: String,
    /// The headers in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer coding.
    pub body: Bytes,
}

impl Recorded {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        super::find_header(&self.headers, name)
    }

    /// The body as text; octets that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The path without its query.
    pub fn path_only(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// The server's record.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) script: VecDeque<Reply>,
    pub(super) requests: Vec<Recorded>,
    pub(super) taken: usize,
    pub(super) connections: usize,
    pub(super) closed: usize,
    pub(super) answered_bytes: u64,
}

/// The record behind a channel that wakes whoever waits for a change.
#[derive(Debug)]
pub(super) struct Shared(watch::Sender<State>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.borrow())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify runs its closure once")
    }

    pub(super) async fn until(&self, reached: impl FnMut(&State) -> bool) {
        let mut changes = self.0.subscribe();
        changes.wait_for(reached).await.expect("the sender lives as long as self");
    }

    /// The reply for the next request; the last one stays for all that follow.
    pub(super) fn next_reply(&self) -> Reply {
        self.change(take).unwrap_or_else(|| {
            Reply::Answer(Answer::new(501, "no reply was scripted for this request"))
        })
    }

    /// Takes the next reply if it concerns the connection alone.
    pub(super) fn resets_on_connect(&self) -> bool {
        self.change(|state| {
            let resets = state.script.front() == Some(&Reply::ResetOnConnect);
            if resets {
                take(state);
            }
            resets
        })
    }
}

fn take(state: &mut State) -> Option<Reply> {
    if state.script.len() > 1 { state.script.pop_front() } else { state.script.front().cloned() }
}
