//! The program against a small server: what goes over the wire, and how it ends.
#![allow(clippy::unwrap_used, reason = "the functions around the tests are test code as well")]

mod files;
mod message;
mod reading;
mod server;
