//! Email APIs as providers of Shivneri: one module per service, each an
//! [`EmailProvider`](shivneri_core::EmailProvider).
//!
//! A provider makes one call per attempt and judges the answer by status **and** body: rejected,
//! certainly not sent, perhaps sent, or trouble of the account. Requests are pure functions of
//! the email, so that the same email is the same request each time (Amazon SES adds the date of
//! its signature).
//!
//! | kind | service |
//! |---|---|
//! | [`sendgrid`] | Twilio SendGrid, Mail Send v3 |
//! | [`mailgun`] | Mailgun, messages v3 |
//! | [`ses`] | Amazon Simple Email Service v2 |
//! | [`sandbox`] | a mailbox in this process, with faults on demand |
//!
//! [`build`] makes one from a kind's name and settings; the modules' own types serve programs
//! that know which one they want.
#![deny(missing_docs)]

mod address;
mod catalog;
mod http;
pub mod mailgun;
mod references;
mod rfc2047;
#[cfg(test)]
mod sample;
pub mod sandbox;
pub mod sendgrid;
pub mod ses;
mod settings;

pub use catalog::{BuildError, Built, Constructor, Settings, build, catalog, kinds, read_settings};
pub use references::{Lookup, ReferenceError, resolve};
pub use settings::{DurationError, Region, Secret, parse_duration};
