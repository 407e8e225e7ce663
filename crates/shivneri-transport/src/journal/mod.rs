//! What an agent remembers of its attempts, so that a killed agent can still say which of them
//! it had begun.
//!
//! One append-only file. A record is written before the thing it vouches for happens: `started`
//! before the first byte goes to the provider, the outcome before it is reported. `write(2)`
//! alone survives the death of the process; `hold` asks for `fdatasync` as well.
//!
//! The journal's name (a UUID) is what an absence proves something about. It is replaced by a
//! new one whenever absence would prove nothing: in a fresh directory, after a reboot (the tail
//! may not have reached the disk), after damage, and when the server's data is not the data that
//! made the earlier offers.

mod book;
mod directory;
mod file;
mod record;
mod store;
mod writer;

pub(crate) use self::{
    book::{Snapshot, State},
    directory::boot_id,
    writer::{Journal, StartError},
};
pub use self::{
    file::JournalError,
    store::{JournalStore, Sync},
};
