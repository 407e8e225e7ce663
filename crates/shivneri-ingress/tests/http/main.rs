//! The HTTP API as a client sees it, over real spools.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod access;
mod agents;
mod changes;
mod idempotency;
mod messages;
mod metrics;
mod providers;
mod refusals;
mod rig;
mod sockets;
mod state;
