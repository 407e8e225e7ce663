//! The main server of Shivneri.
#![deny(missing_docs)]

pub mod config;
