//! The durable mail queue of Shivneri, and the courier that carries mail from it to the
//! dispatcher.
//!
//! A [`Spool`] accepts messages and keeps them until each recipient has reached a final state.
//! Whatever it has acknowledged is on disk; whatever changes together is committed together.
//! [`Sqlite`] is the embedded one, [`Memory`] is for tests and simulations. A [`Courier`] leases
//! what is due and carries it to the dispatcher. Authors of another spool hold it to the suite in
//! the feature `contract`.
//!
//! ```
//! use std::time::SystemTime;
//! use shivneri_core::{MessageId, draft::Draft, submit::Door};
//! use shivneri_spool::{Acceptance, Incoming, Memory, Spool, Status};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (spool, now) = (Memory::new(), SystemTime::now());
//! let draft = Draft {
//!     from: Some("asha@example.com".into()),
//!     to: vec!["b@example.org".into()],
//!     text: Some("hi".into()),
//!     ..Draft::default()
//! };
//! let message = draft.check(MessageId::new(), now).expect("every field is valid");
//! let (door, owner) = (Door::Http, "anonymous".to_owned());
//! let accepted = spool.accept(Incoming { message, door, owner, idempotency: None, at: now }).await?;
//! assert!(matches!(accepted, Acceptance::New { status: Status::Queued, .. }));
//! assert_eq!(spool.lease(10, now).await?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod body;
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

pub use shivneri_core::Clock;

pub use courier::{Courier, CourierPolicy, CourierState, Drained, Sighted};
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
