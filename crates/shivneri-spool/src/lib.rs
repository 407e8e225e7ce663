//! The durable mail queue of Shivneri, and the courier that carries mail from it to the
//! dispatcher.
//!
//! A [`Spool`] accepts messages and keeps them until each recipient has reached a final state.
//! Whatever it has acknowledged is on disk; whatever changes together is committed together.
#![deny(missing_docs)]

mod body;
pub mod clock;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod courier;
pub mod error;
pub mod incoming;
pub mod memory;
mod model;
pub mod record;
pub mod register;
pub mod search;
pub mod spool;
pub mod sqlite;
pub mod stats;
pub mod status;

pub use clock::Clock;
pub use courier::{Courier, CourierPolicy, CourierState, Drained};
pub use error::{OpenError, SpoolError};
pub use incoming::{Acceptance, Idempotency, Incoming};
pub use memory::Memory;
pub use record::{AttemptRecord, Event, MessageRecord, RecipientRecord, Summary, Waiting};
pub use register::{AgentIdentity, ApiKey, ProviderRecord, Register, Shelf};
pub use search::{Cursor, Page, Search};
pub use spool::{
    Amended, Change, Collected, Duplicates, Evidence, OpenAttempt, Park, Sighting, Spool,
};
pub use sqlite::{Options, Sqlite};
pub use stats::{Audit, Commits, LaneStats, Retention, SpoolHealth, SpoolState, Stats};
pub use status::Status;
