//! One connection to the server, as the sends that run under it see it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use shivneri_core::{AttemptId, Outcome};
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;

use crate::{
    frame::{encode_outcome, uuid_bytes},
    wire::{self, agent_frame::Frame, agents_client::AgentsClient},
};

/// The server's word about one offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    None,
    Go,
    NoGo,
}

/// Whether unstarted offers may still be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Serving,
    /// They go back to the server.
    Draining,
    /// The connection is gone: nothing goes back, and nothing may start.
    Over,
}

#[derive(Debug)]
pub(super) struct Link {
    /// The journal's key of this session.
    pub(super) session: u64,
    /// The server's, for fetching bodies.
    pub(super) key: Bytes,
    pub(super) bodies: AgentsClient<Channel>,
    frames: mpsc::Sender<Frame>,
    standing: watch::Sender<Standing>,
    words: Mutex<HashMap<AttemptId, watch::Sender<Word>>>,
}

impl Link {
    pub(super) fn new(
        session: u64,
        key: Bytes,
        bodies: AgentsClient<Channel>,
        frames: mpsc::Sender<Frame>,
    ) -> Self {
        let standing = watch::Sender::new(Standing::Serving);
        Self { session, key, bodies, frames, standing, words: Mutex::default() }
    }

    fn words(&self) -> MutexGuard<'_, HashMap<AttemptId, watch::Sender<Word>>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame, waiting for room. Lost where the connection is: what matters is in the
    /// journal and is said again over the next one.
    pub(super) async fn send(&self, frame: Frame) {
        let _ = self.frames.send(frame).await;
    }

    pub(super) async fn report(&self, attempt: AttemptId, outcome: &Outcome) {
        let outcome = Some(encode_outcome(outcome));
        let attempt = uuid_bytes(attempt.as_uuid());
        self.send(Frame::Report(wire::Report { attempt, outcome })).await;
    }

    /// Listens for the server's word about an offer, until the ear is dropped.
    pub(super) fn listen(self: &Arc<Self>, attempt: AttemptId) -> Ear {
        let (sender, word) = watch::channel(Word::None);
        self.words().insert(attempt, sender);
        Ear { link: Arc::clone(self), attempt, word, standing: self.standing.subscribe() }
    }

    /// Takes the server's word.
    pub(super) fn heard(&self, attempt: AttemptId, word: Word) {
        if let Some(sender) = self.words().get(&attempt) {
            sender.send_replace(word);
        }
    }

    /// Moves on to draining or over, never back.
    pub(super) fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let moves = *now != Standing::Over && *now != standing;
            if moves {
                *now = standing;
            }
            moves
        });
    }
}

/// What one offer hears until it is started.
#[derive(Debug)]
pub(super) struct Ear {
    link: Arc<Link>,
    attempt: AttemptId,
    word: watch::Receiver<Word>,
    standing: watch::Receiver<Standing>,
}

/// Why an offer may not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Withdrawn,
    Draining,
    Over,
}

impl Ear {
    /// Why it may not be started now.
    pub(super) fn stop_now(&self) -> Option<Stop> {
        match *self.standing.borrow() {
            Standing::Over => return Some(Stop::Over),
            Standing::Draining => return Some(Stop::Draining),
            Standing::Serving => {}
        }
        (*self.word.borrow() == Word::NoGo).then_some(Stop::Withdrawn)
    }

    /// Waits until it may not be started any more.
    pub(super) async fn stop(&self) -> Stop {
        let (mut word, mut standing) = (self.word.clone(), self.standing.clone());
        loop {
            if let Some(stop) = self.stop_now() {
                return stop;
            }
            // Both senders live as long as `self.link`.
            tokio::select! {
                _ = word.changed() => {}
                _ = standing.changed() => {}
            }
        }
    }

    /// Waits for the server's *go*.
    pub(super) async fn go(&self) {
        let mut word = self.word.clone();
        let _ = word.wait_for(|word| *word == Word::Go).await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.link.words().remove(&self.attempt);
    }
}
