//! Claims about what may never be shown.

use std::error::Error;

use shivneri_core::SendError;

use super::{
    RECIPIENTS, SENDER, Subject,
    claim::{Claim, PATIENT},
    emails::{self, SUBJECT, TEXT},
    faults::refusing_url,
};
use crate::Reply;

/// Neither the provider's `Debug` nor any error shows a secret.
pub async fn secrets_are_never_shown(subject: &dyn Subject) {
    let claim = Claim::new("secrets_are_never_shown", subject);
    let secrets = subject.secrets();
    let hidden = |case: &str, text: &str| {
        // Naming the secret would show it in the test's log.
        let shown = secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
        claim.check(case, !shown, "it shows a secret");
    };
    let provider = subject.build("http://127.0.0.1:9");
    hidden("Debug of the provider", &format!("{provider:?}"));
    hidden("Debug of the provider, in lines", &format!("{provider:#?}"));
    for (case, error) in errors(&claim).await {
        hidden(&format!("Debug of the error after {case}"), &format!("{error:?}"));
        hidden(&format!("the words of the error after {case}"), &words(&error));
    }
}

/// The words of an error hold no address, no subject and no text of the email, even where the
/// service repeats them in its answer.
pub async fn errors_hold_no_addresses_and_no_bodies(subject: &dyn Subject) {
    let claim = Claim::new("errors_hold_no_addresses_and_no_bodies", subject);
    for (case, error) in errors(&claim).await {
        let words = words(&error).to_lowercase();
        for private in RECIPIENTS.into_iter().chain([SENDER, SUBJECT, TEXT]) {
            let shown = words.contains(&private.to_lowercase());
            claim.check(&format!("the error after {case}"), !shown, &format!("it holds {private}"));
        }
    }
}

/// The errors of the table, and of some answers and faults that any service may give.
async fn errors(claim: &Claim<'_>) -> Vec<(String, SendError)> {
    let echo = format!("{} may not write to {}: {SUBJECT}: {TEXT}", SENDER, RECIPIENTS[0]);
    let echo_json = format!(r#"{{"message":"{echo}","error":"{echo}","errors":["{echo}"]}}"#);
    let mut replies: Vec<(String, Reply)> =
        claim.subject.table().into_iter().map(|case| (case.name.to_owned(), case.reply)).collect();
    for status in [400, 401, 403, 404, 418, 422, 500] {
        replies.push((format!("a {status} that repeats the email"), Reply::text(status, &echo)));
        let json = Reply::json(status, &echo_json);
        replies.push((format!("a {status} that repeats the email in JSON"), json));
    }
    replies.push(("a success that repeats the email".into(), Reply::text(200, &echo)));
    replies.push(("a reset after the body".into(), Reply::ResetAfterBody));
    replies.push(("half an answer".into(), Reply::CloseInAnswer));
    let mut errors = Vec::new();
    for (case, reply) in replies {
        if let Err(error) = claim.send(&case, reply).await {
            errors.push((case, error));
        }
    }
    let provider = claim.subject.build(&refusing_url().await);
    let case = "a refused connection";
    if let Err(error) = claim.call(case, &*provider, &emails::ordinary(), PATIENT).await {
        errors.push((case.into(), error));
    }
    errors
}

/// `Display` of the error and of all that is below it.
fn words(error: &SendError) -> String {
    let mut words = format!("{} {error}", error.detail());
    let mut below = error.source();
    while let Some(source) = below {
        words.push_str(&format!(" {source} {source:?}"));
        below = source.source();
    }
    words
}
