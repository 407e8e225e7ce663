//! The web pages of Shivneri: providers and queue at a glance, each message's story, and a form
//! to send mail.
//!
//! Pages are made on the server and work without a script; a small script of our own keeps them
//! fresh by server-sent events. Nothing is loaded from anywhere else, and no HTML of a mail is
//! ever rendered as HTML.
//!
//! [`router`] gives the pages as one [`axum::Router`]. Who may see them is the server's to decide:
//! it puts its own layer around the router.
#![deny(missing_docs)]

mod assets;
mod compose;
mod format;
mod layout;
mod live;
mod message;
mod overview;
mod protect;
mod router;
mod shapes;

pub use layout::not_found;
pub use router::{ConsoleParts, router, router_until};
