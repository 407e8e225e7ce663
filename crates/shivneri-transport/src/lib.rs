//! The wire between a Shivneri server and its agents.
//!
//! An agent runs beside the credentials of one provider account and dials the server, so it can
//! live behind NAT. The server's [`Hub`] makes a [`RemoteProvider`] of each account: to the
//! dispatcher it is a provider like any other. At the other end [`agent::serve`] takes any
//! [`EmailProvider`](shivneri_core::EmailProvider) and serves it.
//!
//! What makes it more than a remote call is that a connection, an agent or the server may die at
//! any moment, and each email must then be known to be sent, known not to be, or honestly in
//! doubt. So an agent writes a journal, reports each outcome until it is acknowledged, and the
//! server acknowledges only what its queue has committed ([`Hub::acknowledging`]). The protocol
//! is described in `docs/agent-protocol.md`, well enough to write an agent in another language.
//!
//! ```no_run
//! # async fn run(provider: std::sync::Arc<dyn shivneri_core::EmailProvider>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use shivneri_transport::agent::{AgentOptions, Exit, serve};
//!
//! let options = AgentOptions::new("http://127.0.0.1:8526", "mailgun-1".parse()?);
//! match serve(provider, options, std::future::pending()).await? {
//!     Exit::Superseded => eprintln!("another process runs as mailgun-1"),
//!     exit => eprintln!("{exit}"),
//! }
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod agent;
mod frame;
mod hub;
mod journal;
mod protocol;

#[rustfmt::skip]
#[allow(
    missing_docs, unreachable_pub, missing_debug_implementations, clippy::all,
    reason = "generated from proto/shivneri/agent/v1/agent.proto"
)]
#[path = "gen/shivneri.agent.v1.rs"]
mod wire;

pub use hub::{
    Caller, Directory, Hub, HubError, HubOptions, Refusal, RegistrySessions, RemoteProvider,
    Sessions,
};
