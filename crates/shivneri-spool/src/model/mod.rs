//! The rules that every spool shares, pure: how a delivery's part of a message moves, what its
//! attempts say, and which part is due next.

pub(crate) mod heirs;
mod line;
pub(crate) mod message;
pub(crate) mod part;
pub(crate) mod pause;
pub(crate) mod queue;
pub(crate) mod tries;

pub(crate) use part::Part;
pub(crate) use queue::{Lease, Queue};
pub(crate) use tries::{End, Try};
