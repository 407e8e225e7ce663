use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;

use super::Memory;
use crate::{
    Spool,
    contract::{
        Subject,
        play::{Move, Player},
    },
};

/// Remembers what it opened: the suite has them as `dyn Spool` only.
#[derive(Default)]
struct InMemory(Mutex<Vec<Arc<Memory>>>);

#[async_trait]
impl Subject for InMemory {
    async fn open(&self) -> Arc<dyn Spool> {
        let spool = Memory::new();
        self.0.lock().unwrap().push(Arc::clone(&spool));
        spool
    }

    async fn crash(&self, spool: Arc<dyn Spool>) -> Option<Arc<dyn Spool>> {
        let mut opened = self.0.lock().unwrap();
        let same = |one: &&Arc<Memory>| {
            (one.incarnation, one.epoch) == (spool.incarnation(), spool.epoch())
        };
        let next = opened.iter().find(same).expect("it was opened here").reopen();
        opened.push(Arc::clone(&next));
        Some(next)
    }
}

crate::spool_contract!(InMemory::default());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_is_lost_in_any_play(
        moves in proptest::collection::vec((any::<u8>(), 0_usize..50, any::<u8>()), 0..150),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut player = Player::new(Memory::new());
            for (what, which, how) in moves {
                player.make(Move { what, which, how }).await;
            }
            player.finish().await;
        });
    }
}
