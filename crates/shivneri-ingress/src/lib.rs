//! The front doors of Shivneri: how mail and operators' words come in.
//!
//! Every door ends in one [`Submission`], which checks a message, makes it durable, and only
//! then says so. [`router`] is the HTTP API, [`Access`] decides who may use it, [`serve()`] runs it
//! on a socket, and [`Metrics`] tells what goes on.
//!
//! # What is open
//!
//! `/livez`, `/readyz` and `/metrics` answer everyone who can reach the port: load balancers and
//! scrapers carry no keys, and no address, subject or message id is in what they say. All else
//! needs an API key, unless none exists and the server listens on loopback only; then a loopback
//! `Host` is asked for, and no foreign `Origin`.
#![deny(missing_docs)]

pub mod access;
pub mod agents;
pub mod api;
pub mod keys;
pub mod metrics;
mod problem;
pub mod serve;
pub mod submission;
mod token;

pub use access::{Access, AccessLayer, ConfiguredKey, Identity, Scope};
pub use api::{IngressParts, MailboxAnswer, Mailboxes, router};
pub use metrics::Metrics;
pub use serve::{ServeOptions, Served, serve};
pub use submission::{Origin, Refusal, Submission, Taken};
