//! The pages as a browser asks for them, over a spool in memory.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod compose;
mod fixture;
mod live;
mod message;
mod overview;
mod protection;
