//! An agent's disk: what is written survives the process, what is synced survives the power.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use shivneri_core::draws::Draws;
use shivneri_transport::agent::{JournalStore, Sync};
use tokio::time::sleep;

#[derive(Debug)]
struct State {
    draws: Draws,
    bytes: Vec<u8>,
    synced: usize,
    boot: u64,
    /// The process that may write; a dead one's last calls do nothing.
    owner: u64,
    slow: bool,
}

/// The medium.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// One process's hold on it.
#[derive(Debug)]
pub(crate) struct Mounted {
    disk: Disk,
    owner: u64,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        let draws = Draws::new(seed);
        let state = State { draws, bytes: Vec::new(), synced: 0, boot: 0, owner: 0, slow: false };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the next process.
    pub(crate) fn mount(&self) -> Mounted {
        let mut state = self.state();
        state.owner += 1;
        Mounted { disk: self.clone(), owner: state.owner }
    }

    /// Its process is gone.
    pub(crate) fn unmount(&self) {
        self.state().owner += 1;
    }

    /// The power is gone: any part of what was not synced may be, and the last record may be
    /// torn.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state();
        state.boot += 1;
        state.owner += 1;
        let unsynced = state.bytes.len() - state.synced;
        let kept = state.synced + state.draws.below(unsynced + 1);
        state.bytes.truncate(kept);
        state.synced = kept;
    }

    pub(crate) fn set_slow(&self, slow: bool) {
        self.state().slow = slow;
    }
}

impl Mounted {
    /// The state, if this process still owns it.
    fn owned(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.owner == self.owner {
            Ok(state)
        } else {
            Err(io::Error::other("the process is gone"))
        }
    }

    async fn takes(&self, longest: u64) {
        let micros = {
            let mut state = self.disk.state();
            let longest = if state.slow { longest * 100 } else { longest };
            state.draws.below(longest as usize) as u64
        };
        sleep(Duration::from_micros(micros)).await;
    }
}

#[async_trait]
impl JournalStore for Mounted {
    fn boot(&self) -> Option<String> {
        Some(format!("boot-{}", self.disk.state().boot))
    }

    async fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.owned()?.bytes.clone())
    }

    async fn cut(&self, length: u64) -> io::Result<()> {
        let mut state = self.owned()?;
        state.bytes.truncate(length as usize);
        state.synced = state.synced.min(length as usize);
        Ok(())
    }

    async fn append(&self, records: &[u8], sync: Sync) -> io::Result<()> {
        self.takes(1_000).await;
        self.owned()?.bytes.extend_from_slice(records);
        match sync {
            Sync::Now => {
                self.takes(8_000).await;
                let mut state = self.owned()?;
                state.synced = state.bytes.len();
            }
            Sync::Later => self.takes(300).await,
        }
        Ok(())
    }

    async fn replace(&self, contents: &[u8]) -> io::Result<()> {
        self.takes(10_000).await;
        let mut state = self.owned()?;
        state.bytes = contents.to_vec();
        state.synced = contents.len();
        Ok(())
    }

    async fn set_aside(&self, contents: &[u8]) -> io::Result<()> {
        Err(io::Error::other(format!(
            "{} bytes are damaged, and no fault does that",
            contents.len()
        )))
    }
}
