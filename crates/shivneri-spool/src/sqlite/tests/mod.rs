mod damage;
mod durability;
mod groups;
mod listing;
mod races;
mod recovering;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Options, Sqlite};
use crate::{
    Spool,
    contract::{
        Subject,
        play::{Move, Player},
    },
};

struct OnDisk(TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("spool.db")
    }

    fn open(&self) -> Arc<Sqlite> {
        Sqlite::open(self.path(), Options::default()).unwrap()
    }
}

#[async_trait]
impl Subject for OnDisk {
    async fn open(&self) -> Arc<dyn Spool> {
        self.open()
    }

    /// The files as a kill at this moment would leave them, in another directory's name.
    async fn crash(&self, spool: Arc<dyn Spool>) -> Option<Arc<dyn Spool>> {
        let copy = self.0.path().join(format!("after-{}", spool.epoch()));
        std::fs::create_dir(&copy).unwrap();
        let from = if spool.epoch() == 1 {
            self.0.path().to_owned()
        } else {
            self.0.path().join(format!("after-{}", spool.epoch() - 1))
        };
        for name in ["spool.db", "spool.db-wal"] {
            std::fs::copy(from.join(name), copy.join(name)).unwrap();
        }
        let next = Sqlite::open(copy.join("spool.db"), Options::default()).unwrap();
        drop(spool);
        Some(next)
    }
}

crate::spool_contract!(OnDisk::new());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_is_lost_in_any_play(
        moves in proptest::collection::vec((any::<u8>(), 0_usize..50, any::<u8>()), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let disk = OnDisk::new();
            let mut player = Player::new(disk.open());
            for (what, which, how) in moves {
                player.make(Move { what, which, how }).await;
            }
            player.finish().await;
        });
    }
}
