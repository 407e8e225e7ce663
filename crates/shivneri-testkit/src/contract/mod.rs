//! The suite that every provider speaking HTTP must pass; [`in_process`] has the one for those
//! that speak none.
//!
//! Each claim is a function of its own, named as it reads in the message of a failure; [`run`]
//! puts them all. It needs a tokio runtime with I/O and a clock that is not paused, and takes
//! some seconds. All traffic stays on loopback, but for one look-up of a name under `.invalid`.

pub mod answers;
mod claim;
pub mod content;
mod date;
mod emails;
pub mod faults;
pub mod in_process;
pub mod probes;
pub mod requests;
pub mod secrecy;
mod subject;

pub use subject::{Case, Expect, Subject};

/// The sender of the suite's emails.
pub const SENDER: &str = "asha@example.com";
/// The recipients of the suite's emails in to, cc and bcc; [`Expect::RejectedRecipients`] names
/// some of them.
pub const RECIPIENTS: [&str; 3] = ["bina@example.org", "chitra@example.org", "dev@example.org"];

/// Puts every claim to the subject.
///
/// # Panics
///
/// Where a claim does not hold, with its name, the case, and what came of it.
pub async fn run(subject: &dyn Subject) {
    requests::one_send_is_one_request(subject).await;
    requests::a_redirect_is_not_followed(subject).await;
    requests::a_dropped_send_leaves_nothing_behind(subject).await;
    requests::a_connection_closed_while_idle_makes_no_doubt(subject).await;
    requests::the_request_is_the_same_each_time(subject).await;
    answers::an_acceptance_gives_the_providers_id(subject).await;
    answers::a_slow_answer_in_time_is_accepted(subject).await;
    answers::documented_answers_mean_what_the_table_says(subject).await;
    answers::an_undocumented_4xx_is_an_unexplained_rejection(subject).await;
    answers::a_401_or_403_is_a_fault_of_the_account(subject).await;
    answers::a_413_is_unsupported(subject).await;
    answers::a_throttle_is_told_with_its_pause(subject).await;
    answers::a_503_with_retry_after_is_a_throttle(subject).await;
    answers::an_undocumented_5xx_is_weak_doubt(subject).await;
    answers::a_success_that_makes_no_sense_is_weak_doubt(subject).await;
    answers::a_huge_answer_is_not_read_to_its_end(subject).await;
    // Before the claims that need a large request.
    content::words_beyond_ascii_are_sent(subject).await;
    content::a_large_attachment_is_sent_whole(subject).await;
    answers::an_answer_before_the_body_is_heard(subject).await;
    faults::a_service_out_of_reach_is_unavailable(subject).await;
    faults::a_body_not_handed_over_is_unavailable(subject).await;
    faults::silence_after_the_body_is_strong_doubt(subject).await;
    faults::a_send_ends_with_its_timeout(subject).await;
    secrecy::secrets_are_never_shown(subject).await;
    secrecy::errors_hold_no_addresses_and_no_bodies(subject).await;
    probes::a_healthy_account_probes_green(subject).await;
    probes::a_wrong_key_shows_in_the_probe(subject).await;
    probes::a_probe_of_a_broken_service_is_not_green(subject).await;
    probes::a_probe_sends_no_mail(subject).await;
}
