//! The testing kit for authors of Shivneri's email providers, and for everybody who tests what
//! is built on them.
//!
//! * [`contract`] is the suite that every [`EmailProvider`](shivneri_core::EmailProvider) which
//!   speaks HTTP must pass: what counts as accepted, as rejected, as certainly not sent, and as
//!   *perhaps sent*. [`contract::in_process`] is the one for providers that speak none.
//! * [`FaultServer`] stands in for a service, and misbehaves as told: it resets, stalls,
//!   trickles, closes.
//! * [`ScriptedProvider`] stands in for a provider, and plays a script.
//! * [`mail`] has emails to test with.
//!
//! # Testing a provider of one's own
//!
//! Say how to build it and what its API is documented to answer; the suite does the rest.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use shivneri_core::{EmailProvider, Fault};
//! use shivneri_testkit::{
//!     Reply,
//!     contract::{self, Case, Expect, RECIPIENTS, Subject},
//! };
//! # use shivneri_testkit::ScriptedProvider;
//! # struct Acme;
//! # impl Acme {
//! #     fn new(_base_url: &str, _key: &str) -> ScriptedProvider { ScriptedProvider::new("acme") }
//! # }
//!
//! struct AcmeSubject;
//!
//! impl Subject for AcmeSubject {
//!     fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
//!         Arc::new(Acme::new(base_url, "acme-secret-key"))
//!     }
//!
//!     fn accepted(&self) -> Reply {
//!         Reply::json(202, r#"{"message":{"id":"acme-17"}}"#)
//!     }
//!
//!     fn accepted_id(&self) -> &str {
//!         "acme-17"
//!     }
//!
//!     fn table(&self) -> Vec<Case> {
//!         let no_body = Reply::json(422, r#"{"code":"empty_body"}"#);
//!         let bad = Reply::json(422, r#"{"code":"bad_recipient","address":"bina@example.org"}"#);
//!         let over = Reply::json(402, r#"{"code":"over_quota"}"#);
//!         let pause = Reply::empty(429).with_header("Retry-After", "30");
//!         vec![
//!             Case::new("no content", no_body, Expect::RejectedMessage),
//!             Case::new("bad address", bad, Expect::RejectedRecipients(vec![RECIPIENTS[0]])),
//!             Case::new("over quota", over, Expect::AccountFault(Fault::Quota)),
//!             Case::new("too fast", pause, Expect::Throttled(Some(Duration::from_secs(30)))),
//!         ]
//!     }
//!
//!     fn secrets(&self) -> Vec<String> {
//!         vec!["acme-secret-key".into()]
//!     }
//!
//!     fn probe_ok(&self) -> Reply {
//!         Reply::json(200, r#"{"account":"active"}"#)
//!     }
//! }
//!
//! #[tokio::test]
//! # async fn hidden() {}
//! async fn acme_keeps_the_contract() {
//!     contract::run(&AcmeSubject).await;
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() { acme_keeps_the_contract().await }
//! ```
//!
//! # Testing what calls providers
//!
//! ```
//! use shivneri_core::{Attempt, EmailProvider, Failure};
//! use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = ScriptedProvider::new("acme").then(Step::fail(Failure::Unavailable));
//! let email = mail(1);
//! let attempt = Attempt::single(&email, provider.id().clone());
//! assert!(provider.send(&email, &attempt).await.is_err());
//! assert!(provider.send(&email, &attempt).await.is_ok());
//! assert_eq!((provider.call_count(), provider.accepted()), (2, vec![email.id()]));
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub mod contract;
pub mod mail;
mod scripted;
mod server;

pub use scripted::{Call, ScriptedProvider, Step};
pub use server::{Answer, FaultServer, Recorded, Reply};
