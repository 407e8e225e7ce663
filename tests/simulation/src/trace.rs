//! What happened, in order, and a digest of it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Collects notes; two runs are the same if their digests are.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Notes>>);

struct Notes {
    began: Instant,
    digest: u64,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        let notes = Notes { began: Instant::now(), digest: 0xcbf2_9ce4_8422_2325, print };
        Self(Arc::new(Mutex::new(notes)))
    }

    pub(crate) fn note(&self, words: impl FnOnce() -> String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:>12.6} {}", notes.began.elapsed().as_secs_f64(), words());
        // FNV-1a: short, and the same everywhere.
        for byte in line.bytes() {
            notes.digest = (notes.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if notes.print {
            println!("{line}");
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).digest
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).began.elapsed()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}
