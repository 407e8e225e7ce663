//! The main server of Shivneri: takes mail, keeps it safe, and sends each message through
//! whichever provider is alive.
//!
//! The program `shivneri-server` is a few lines on top of this library, and so can yours be, with
//! providers and schedulers of its own:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use shivneri_core::scheduler::Random;
//! use shivneri_server::{Server, config::Source};
//!
//! let config = Source::of_process(Some("mine.toml".into()), Default::default()).load()?;
//! let server = Server::builder(config)
//!     .scheduler("mine", || Box::new(Random))
//!     .start()
//!     .await?;
//! println!("{}", server.ready_line());
//! server.run(shivneri_server::signals()?).await?;
//! # Ok(()) }
//! ```
#![deny(missing_docs)]

mod builder;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
mod directory;
mod error;
mod keeper;
mod kinds;
mod late;
mod mailboxes;
mod server;
mod signals;

pub use builder::Builder;
pub use config::Config;
pub use error::{RunError, StartError};
pub use server::Server;
pub use signals::{Signals, signals};
