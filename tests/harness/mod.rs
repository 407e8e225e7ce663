//! The processes of a story and what can be done to them.

mod endpoint;
mod process;
mod server;
mod traffic;

pub use endpoint::Endpoint;
pub use process::{Agent, Process};
pub use server::Server;
pub use traffic::{Books, Traffic};
