//! Requests with the same idempotency key take turns.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OwnedMutexGuard, time::timeout};

use super::Refusal;

/// Owner and key.
type Name = (String, String);
type Queues = Arc<Mutex<HashMap<Name, Queue>>>;

#[derive(Debug, Default)]
struct Queue {
    /// tokio's mutex is fair: first come, first served.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Who holds or awaits the turn.
    places: usize,
}

/// Who holds or awaits a turn, by owner and key; nothing is kept for others.
#[derive(Debug, Default)]
pub(super) struct Turns(Queues);

/// The right to go on, given back on drop.
#[derive(Debug)]
pub(super) struct Turn {
    // Dropped in this order: the queue must not be forgotten while the turn is held.
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    queues: Queues,
    name: Name,
}

impl Turns {
    /// Waits for the turn. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Refusal::InProgress`] where it has not come after `longest`.
    pub(super) async fn take(
        &self,
        owner: &str,
        key: &str,
        longest: Duration,
    ) -> Result<Turn, Refusal> {
        let name = (owner.to_owned(), key.to_owned());
        let turn = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = queues.entry(name.clone()).or_default();
            queue.places += 1;
            Arc::clone(&queue.turn)
        };
        let place = Place { queues: Arc::clone(&self.0), name };
        let turn = timeout(longest, turn.lock_owned()).await.map_err(|_| Refusal::InProgress)?;
        Ok(Turn { _turn: turn, _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queues.get_mut(&self.name) else { return };
        queue.places -= 1;
        if queue.places == 0 {
            queues.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_within_five_seconds_is_given_up() {
        let turns = Turns::default();
        let held = turns.take("shop", "k", LONGEST).await.unwrap();
        let began = Instant::now();
        assert!(matches!(turns.take("shop", "k", LONGEST).await, Err(Refusal::InProgress)));
        assert_eq!(began.elapsed(), LONGEST);
        // Whoever gave up must not have taken the queue along.
        assert!(matches!(turns.take("shop", "k", LONGEST).await, Err(Refusal::InProgress)));
        drop(held);
        assert!(turns.take("shop", "k", LONGEST).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_owner_or_another_key_does_not_wait() {
        let turns = Turns::default();
        let began = Instant::now();
        let _held = turns.take("shop", "k", LONGEST).await.unwrap();
        let _owner = turns.take("till", "k", LONGEST).await.unwrap();
        let _key = turns.take("shop", "l", LONGEST).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_turns_that_are_over() {
        let turns = Turns::default();
        let held = turns.take("shop", "k", LONGEST).await.unwrap();
        assert!(turns.take("shop", "k", LONGEST).await.is_err());
        assert_eq!(turns.0.lock().unwrap().len(), 1);
        drop(held);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
