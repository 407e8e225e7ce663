//! Which provider takes the next mail.
//!
//! | scheduler | picks | honours weights | cost |
//! |---|---|---|---|
//! | [`LeastLatency`] | the cheaper of two drawn ones | yes | flat |
//! | [`RoundRobin`] | one after the other | no | flat |
//! | [`Random`] | any | no | flat |
//! | [`O1`] | by time slices in two arrays, as the Linux 2.6 scheduler | yes | flat |
//! | [`Weighted`] | smooth weighted round-robin, as nginx | yes | linear |
//!
//! All honour the share a recovering provider may have. One of your own is one `impl`:
//!
//! ```
//! use shivneri_core::scheduler::{ActiveSet, Admission, Candidate, Pick, Scheduler};
//!
//! /// Always the first that may take it.
//! #[derive(Debug)]
//! struct First;
//!
//! impl Scheduler for First {
//!     fn pick(
//!         &mut self,
//!         active: &ActiveSet,
//!         admits: &dyn Fn(&Candidate) -> Admission,
//!         _draw: u64,
//!     ) -> Option<Pick> {
//!         let index = active.candidates().iter().position(|c| admits(c).is_granted())?;
//!         Some(Pick::new(index, "the first"))
//!     }
//! }
//! ```

mod least_latency;
mod o1;
mod random;
mod round_robin;
#[cfg(test)]
mod tests;
mod weighted;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub use least_latency::LeastLatency;
pub use o1::O1;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;

use crate::ProviderId;

/// A way to pick the next provider.
///
/// # Contract
///
/// * Returns an index into `active.candidates()` that `admits` granted, or `None` where none is.
/// * Pure: what it keeps are its own positions and counts; no clock, no lock.
/// * `active` may differ from the last call's; [`ActiveSet::version`] tells.
pub trait Scheduler: fmt::Debug + Send + 'static {
    /// Picks one of the active candidates that may take this mail.
    ///
    /// `draw` is uniform over `u64`.
    fn pick(
        &mut self,
        active: &ActiveSet,
        admits: &dyn Fn(&Candidate) -> Admission,
        draw: u64,
    ) -> Option<Pick>;
}

/// The schedulers that ship, by name.
pub const NAMES: [&str; 5] = ["random", "round-robin", "o1", "weighted", "least-latency"];

/// Makes one of the schedulers that ship; `None` for another name.
pub fn by_name(name: &str) -> Option<Box<dyn Scheduler>> {
    Some(match name {
        "random" => Box::new(Random),
        "round-robin" => Box::<RoundRobin>::default(),
        "o1" => Box::<O1>::default(),
        "weighted" => Box::<Weighted>::default(),
        "least-latency" => Box::new(LeastLatency),
        _ => return None,
    })
}

/// Whether a candidate may take this mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// It may not, for this reason.
    Denied(Cow<'static, str>),
}

impl Admission {
    /// Whether it may.
    pub fn is_granted(&self) -> bool {
        *self == Self::Granted
    }
}

/// What was picked, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The index among the active candidates.
    pub index: usize,
    /// Why this one.
    pub reason: Reason,
}

impl Pick {
    /// A pick with a reason that never changes.
    pub const fn new(index: usize, reason: &'static str) -> Self {
        Self { index, reason: Reason::Fixed(reason) }
    }
}

/// Why a candidate was picked; written out only where somebody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A sentence that never changes.
    Fixed(&'static str),
    /// It was the cheaper of two, by expected wait in microseconds.
    Cheaper {
        /// Its own expected wait.
        own: u64,
        /// The other one's.
        other: u64,
    },
    /// It had this much of its time slice left.
    Slice {
        /// Picks left in this round, this one included.
        left: u32,
    },
    /// A sentence of a scheduler of one's own.
    Text(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(text) => f.write_str(text),
            Self::Cheaper { own, other } => {
                let millis = |micros: &u64| *micros as f64 / 1000.0;
                write!(f, "expected wait {:.1} ms against {:.1} ms", millis(own), millis(other))
            }
            Self::Slice { left } => write!(f, "its turn, {left} left of its slice"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The providers that may take mail at present. Rebuilt only when membership or weights change;
/// the loads in it are live.
#[derive(Clone, Debug, Default)]
pub struct ActiveSet {
    version: u64,
    candidates: Vec<Candidate>,
}

impl ActiveSet {
    /// A set; `version` differs from every other set's with other members or weights.
    pub fn new(version: u64, candidates: Vec<Candidate>) -> Self {
        Self { version, candidates }
    }

    /// Tells whether this is the set seen before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The candidates.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// One provider in an [`ActiveSet`].
#[derive(Clone, Debug)]
pub struct Candidate {
    index: usize,
    id: ProviderId,
    weight: u32,
    load: Arc<Load>,
}

impl Candidate {
    /// A candidate; `index` is its place in the set.
    pub fn new(index: usize, id: ProviderId, weight: u32, load: Arc<Load>) -> Self {
        Self { index, id, weight: weight.max(1), load }
    }

    /// Its place in the set.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The provider.
    pub fn id(&self) -> &ProviderId {
        &self.id
    }

    /// Its weight, at least 1.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Its load now.
    pub fn load(&self) -> &Load {
        &self.load
    }
}

/// A provider's live load. Read without a lock by schedulers, written by permits.
#[derive(Debug)]
pub struct Load {
    in_flight: AtomicU32,
    capacity: AtomicU32,
    share_permille: AtomicU32,
    wait_micros: AtomicU64,
}

impl Load {
    /// Nothing in flight, so many at once, and its full share.
    pub fn new(capacity: u32) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            capacity: AtomicU32::new(capacity),
            share_permille: AtomicU32::new(1000),
            wait_micros: AtomicU64::new(1000),
        }
    }

    /// Attempts out now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// How many may be out at once now: the window times the share, at least 1 of any window.
    pub fn capacity(&self) -> u32 {
        self.capacity.load(Relaxed)
    }

    /// How many more may go out now.
    pub fn free(&self) -> u32 {
        self.capacity().saturating_sub(self.in_flight())
    }

    /// The share of its weight that it may have, in thousandths: below 1000 while it recovers.
    pub fn share_permille(&self) -> u32 {
        self.share_permille.load(Relaxed)
    }

    /// The expected wait for one more mail, in microseconds: the moving peak of its latency times
    /// what is in flight and one, over weight and share.
    pub fn expected_wait(&self, weight: u32) -> u64 {
        let queue = u64::from(self.in_flight()) + 1;
        let share = u64::from(self.share_permille().max(1)) * u64::from(weight.max(1));
        self.wait_micros.load(Relaxed).saturating_mul(queue).saturating_mul(1000) / share
    }

    /// Sets window and share.
    pub fn resize(&self, window: u32, share: f64) {
        let share = share.clamp(0.0, 1.0);
        let places = ((f64::from(window) * share) as u32).max(window.min(1));
        self.capacity.store(places, Relaxed);
        self.share_permille.store((share * 1000.0) as u32, Relaxed);
    }

    /// Takes one of the free places, if there is one.
    pub(crate) fn enter(&self) -> bool {
        let capacity = self.capacity();
        self.in_flight
            .fetch_update(Relaxed, Relaxed, |now| (now < capacity).then_some(now + 1))
            .is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Takes a latency into the moving peak: a higher one counts at once, a lower one by a share
    /// that grows with the time since the last (a half-life of about 7 s).
    pub(crate) fn observe(&self, latency: Duration, since_last: Duration) {
        let new = latency.as_micros() as f64;
        let keep = (-since_last.as_secs_f64() / 10.0).exp().min(0.9);
        let _ = self.wait_micros.fetch_update(Relaxed, Relaxed, |old| {
            let old = old as f64;
            Some(if new > old { new } else { old * keep + new * (1.0 - keep) }.max(1.0) as u64)
        });
    }

    /// Makes it look slower after a failure, so that who fails fast does not look best.
    pub(crate) fn penalise(&self) {
        let _ = self.wait_micros.fetch_update(Relaxed, Relaxed, |old| {
            Some(old.saturating_mul(2).clamp(100_000, 10_000_000))
        });
    }
}
