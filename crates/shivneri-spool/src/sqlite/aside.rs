//! Setting aside what a reader found damaged.

use std::time::Duration;

use super::Sqlite;

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
    /// the row anew.
    pub(super) async fn lay_aside(&self, mut damaged: Vec<Bad>) {
        damaged.retain(|bad| self.shared.queue().claim(bad.key));
        self.set_claimed_aside(damaged).await;
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
