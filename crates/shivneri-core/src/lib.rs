//! The failover logic of Shivneri, made to be embedded: send each email through whichever
//! provider is alive.
//!
//! This crate opens no socket and no file and spawns no task. It knows what an email is
//! ([`Email`]), what may come of handing one to a provider ([`Outcome`], [`Failure`]), how a
//! provider's health follows from that ([`health`]), which provider is taken next
//! ([`scheduler`]), and how a delivery goes from one provider to another ([`Dispatcher`]).
//!
//! ```
//! use shivneri_core::{Email, Mailbox};
//!
//! let email = Email::builder("Asha <asha@example.com>".parse()?)
//!     .to("b@example.org".parse()?)
//!     .subject("Your invoice")
//!     .text("It is attached.")
//!     .build()?;
//! assert_eq!(email.envelope().recipients()[0].as_str(), "b@example.org");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

pub mod attempt;
pub mod capabilities;
pub mod clock;
pub mod decision;
pub mod delivery;
pub mod dispatcher;
pub mod draft;
pub mod draws;
pub mod email;
pub mod failure;
pub mod health;
pub mod id;
pub mod lane;
pub mod provider;
pub mod registry;
mod rejections;
pub mod retry;
pub mod scheduler;
pub mod submit;
mod window;

pub use attempt::{AgentSession, Attempt, AttemptLog, LateOutcomes, LogError, UnsettledAttempt};
pub use capabilities::Capabilities;
pub use clock::Clock;
pub use decision::{Outcome, Transition};
pub use delivery::{Awaiting, Delivery, PastAttempt};
pub use dispatcher::{Deferral, Dispatcher, Verdict};
pub use email::{Attachment, Email, EmailAddress, Envelope, Header, Mailbox};
pub use failure::{Answer, Cause, Doubt, Failure, Fault, Scope, SendError};
pub use id::{AgentId, AttemptId, DeliveryId, LaneName, MessageId, ProviderId};
pub use lane::{Lane, OnDoubt};
pub use provider::{EmailProvider, Lookup, Receipt};
pub use registry::{Permit, ProviderSettings, Registry};
pub use submit::{Submit, SubmitError, Submitted};
