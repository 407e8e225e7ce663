//! Questions that are open at one agent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use shivneri_core::SendError;
use tokio::sync::oneshot;

use crate::wire;

/// How many may be open.
const AT_ONCE: usize = 64;

/// The frame that answers a question.
pub(super) type Reply = wire::agent_frame::Frame;

#[derive(Debug, Default)]
pub(super) struct Questions {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    last: u64,
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new question's id, and where its answer will come.
    pub(super) fn open(&self) -> Result<(u64, oneshot::Receiver<Reply>), SendError> {
        let mut open = self.lock();
        // Who asked may have given up.
        open.waiting.retain(|_, waiting| !waiting.is_closed());
        if open.waiting.len() >= AT_ONCE {
            return Err(SendError::not_started("the agent has too many questions open"));
        }
        let (answer, answered) = oneshot::channel();
        open.last += 1;
        let id = open.last;
        open.waiting.insert(id, answer);
        Ok((id, answered))
    }

    pub(super) fn answered(&self, id: u64, reply: Reply) {
        if let Some(waiting) = self.lock().waiting.remove(&id) {
            let _ = waiting.send(reply);
        }
    }

    pub(super) fn close(&self, id: u64) {
        self.lock().waiting.remove(&id);
    }

    pub(super) fn close_all(&self) {
        self.lock().waiting.clear();
    }
}
