//! Setting aside what a reader found damaged.

use std::time::Duration;

use super::{Sqlite, audit};
use crate::SpoolError;

/// When a damaged record is looked at again that could not be set aside.
const AGAIN: Duration = Duration::from_secs(60);

/// A record that can't be read.
pub(super) struct Bad {
    /// Absent where the queue holds nothing of that lane.
    pub(super) lane: Option<usize>,
    pub(super) key: i64,
    pub(super) reason: String,
}

impl Sqlite {
    /// Sets aside those that nobody else has at the moment: who has one meets the damage, or writes
    /// the row anew. Whoever had one as it was read may have done that already.
    pub(super) async fn lay_aside(&self, mut damaged: Vec<Bad>) -> Result<(), SpoolError> {
        damaged.retain(|bad| self.shared.queue().claim(bad.key));
        let keys: Vec<i64> = damaged.iter().map(|bad| bad.key).collect();
        let read = self.read(move |shared, conn| audit::sound(conn, &keys, shared.clock.now()));
        let sound = match read.await {
            Ok(sound) => sound,
            Err(error) => {
                self.give_back(damaged);
                return Err(error);
            }
        };
        let is_sound = |bad: &Bad| sound.contains(&bad.key);
        let (sound, damaged): (Vec<_>, Vec<_>) = damaged.into_iter().partition(is_sound);
        self.give_back(sound);
        self.set_claimed_aside(damaged).await;
        Ok(())
    }

    /// Gives up the claims; who leases them next sees what they are.
    fn give_back(&self, claimed: Vec<Bad>) {
        let (mut queue, now) = (self.shared.queue(), self.shared.clock.now());
        for Bad { lane, key, .. } in claimed {
            match lane {
                Some(lane) => queue.put_back(lane, now, key),
                None => queue.forget(key),
            }
        }
    }

    /// Sets aside what is claimed, and gives up the claims.
    pub(super) async fn set_claimed_aside(&self, damaged: Vec<Bad>) {
        for Bad { lane, key, reason } in damaged {
            tracing::error!(key, reason, "a delivery's record is damaged and set aside");
            let at = self.shared.clock.now();
            let aside = self
                .commit(move |ledger| ledger.guarded(|ledger| ledger.set_aside(key, &reason, at)))
                .await;
            let mut queue = self.shared.queue();
            match (aside, lane) {
                (Ok(()), _) => queue.forget(key),
                // The others go on all the same.
                (Err(error), lane) => {
                    tracing::error!(key, %error, "a damaged record could not be set aside");
                    match lane {
                        Some(lane) => queue.put_back(lane, at + AGAIN, key),
                        None => queue.forget(key),
                    }
                }
            }
        }
    }
}
