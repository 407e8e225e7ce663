//! The testing kit for authors of email providers.
#![deny(missing_docs)]

pub mod contract;
pub mod mail;
mod scripted;
mod server;

pub use scripted::{Call, ScriptedProvider, Step};
pub use server::{Answer, FaultServer, Recorded, Reply};
