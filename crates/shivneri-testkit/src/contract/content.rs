//! Claims about what is sent.

use super::{
    Expect, Subject,
    claim::{Claim, PATIENT},
    emails,
};

/// Names, subjects, texts and file names beyond ASCII are taken and sent.
pub async fn words_beyond_ascii_are_sent(subject: &dyn Subject) {
    let claim = Claim::new("words_beyond_ascii_are_sent", subject);
    let case = "an email in many scripts";
    let (server, provider) = claim.set_up([subject.accepted()]).await;
    let sent = claim.call(case, &*provider, &emails::international(), PATIENT).await;
    claim.compare(case, &sent, &Expect::Accepted);
    let empty = server.requests().iter().all(|request| request.body.is_empty());
    claim.check(case, !empty, "the request has no body");
}

/// A large attachment arrives whole: the request is no shorter than the file.
///
/// Void where the provider carries no attachment of 4 MiB.
pub async fn a_large_attachment_is_sent_whole(subject: &dyn Subject) {
    let claim = Claim::new("a_large_attachment_is_sent_whole", subject);
    let case = "an attachment of some MiB";
    let (server, provider) = claim.set_up([subject.accepted()]).await;
    let Some(email) = emails::large(&provider.capabilities()) else { return };
    let sent = claim.call(case, &*provider, &email, PATIENT).await;
    claim.compare(case, &sent, &Expect::Accepted);
    let file: usize = email.attachments().iter().map(|file| file.content().len()).sum();
    let body: usize = server.requests().iter().map(|request| request.body.len()).sum();
    claim.check(case, body >= file, &format!("{body} bytes were sent for a file of {file}"));
}
