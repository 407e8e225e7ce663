//! What a returning agent's journal says about attempts whose end is not known.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use shivneri_core::{AttemptId, Outcome, SendError, UnsettledAttempt};
use uuid::Uuid;

use super::{Inner, session::Session, settling::Late};
use crate::{
    frame::{FrameError, attempt_id},
    wire::{JournalEntry, journal_entry::State},
};

/// The pause before the queue is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Findings that are committed at once.
const AT_ONCE: usize = 64;

/// The journal's entries as the agent's Hello lists them.
#[derive(Debug)]
pub(super) struct Claims {
    entries: HashMap<AttemptId, State>,
    /// Whether it vouches for this server's data.
    ours: bool,
}

impl Claims {
    pub(super) fn read(
        entries: Vec<JournalEntry>,
        incarnation: &[u8],
        ours: Uuid,
    ) -> Result<Self, FrameError> {
        let entries = entries.into_iter().map(|entry| {
            let state = entry.state();
            attempt_id(&entry.attempt).map(|id| (id, state))
        });
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            ours: incarnation == ours.as_bytes(),
        })
    }

    /// The attempts that may still run there.
    pub(super) fn running(&self) -> impl Iterator<Item = AttemptId> {
        self.entries.iter().filter(|(_, state)| **state == State::Started).map(|(id, _)| *id)
    }

    /// Settles what the journal proves, and lets the agent forget what the queue no longer asks
    /// about.
    pub(super) async fn reconcile(self, hub: &Arc<Inner>, session: &Arc<Session>) {
        if !self.ours {
            return;
        }
        let agent = &session.identity.agent;
        let unsettled = loop {
            match hub.late.unsettled(agent).await {
                Ok(unsettled) => break unsettled,
                Err(error) => {
                    tracing::warn!(%agent, %error, "the agent's journal can't be compared yet");
                }
            }
            tokio::select! {
                () = session.over() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        };
        let asked: HashSet<AttemptId> = unsettled.iter().map(|one| one.id).collect();
        // Together, so that they share commits: mail that certainly was not sent waits for this.
        let proven = unsettled.iter().filter(|attempt| self.proves_absence(attempt, session));
        let settling = proven.map(|attempt| {
            let why = "the agent's journal shows that it never began";
            let outcome = Outcome::Failed(SendError::not_started(why));
            hub.late(attempt.id, Late { outcome, reporter: None })
        });
        stream::iter(settling).for_each_concurrent(AT_ONCE, |settled| settled).await;
        for (id, state) in self.entries {
            if state == State::Kept && !asked.contains(&id) {
                session.acknowledge_as(id, true);
            }
        }
    }

    /// Whether the attempt was offered to this very journal in an earlier session, and the
    /// journal does not know it.
    fn proves_absence(&self, attempt: &UnsettledAttempt, session: &Session) -> bool {
        attempt.journal == session.identity.journal
            && attempt.generation < session.identity.generation
            && !self.entries.contains_key(&attempt.id)
    }
}
