use std::sync::Arc;

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

struct InMemory;

#[async_trait]
impl Subject for InMemory {
    async fn open(&self) -> Arc<dyn Spool> {
        Memory::new()
    }

    async fn crash(&self, _: Arc<dyn Spool>) -> Option<Arc<dyn Spool>> {
        None
    }
}

crate::spool_contract!(InMemory);

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
