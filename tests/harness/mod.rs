//! The processes of a story and what can be done to them.

mod endpoint;
mod process;
mod server;
mod traffic;

pub(crate) use endpoint::Endpoint;
pub(crate) use process::{Agent, Process};
pub(crate) use server::Server;
pub(crate) use traffic::{Books, Traffic};
