//! Claims about answers that never come: what was certainly not sent, and what perhaps was.

use std::time::Duration;

use shivneri_core::Cause;
use tokio::{net::TcpListener, time::Instant};

use super::{
    Expect, Subject,
    claim::{BRIEF, Claim, PATIENT},
    emails,
};
use crate::Reply;

/// A service that can't be reached took nothing, and it is the way that is broken.
pub async fn a_service_out_of_reach_is_unavailable(subject: &dyn Subject) {
    let claim = Claim::new("a_service_out_of_reach_is_unavailable", subject);
    for (case, url) in [
        ("a refused connection", refusing_url().await),
        // RFC 6761 section 6.4: never resolves.
        ("a host that does not resolve", "http://nowhere.invalid".to_owned()),
    ] {
        let provider = subject.build(&url);
        let sent = claim.call(case, &*provider, &emails::ordinary(), PATIENT).await;
        claim.compare(case, &sent, &Expect::Unavailable);
        let by_link = sent.is_err_and(|error| error.cause() == Cause::Link);
        claim.check(case, by_link, "its cause is not Link");
    }
}

/// The URL of a port that was free a moment ago.
pub(super) async fn refusing_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    format!("http://{address}")
}

/// While bytes of the body are still to be handed over, nothing was sent.
///
/// Void where the provider carries no attachment of 4 MiB: a smaller body may be in the sockets'
/// buffers whole.
pub async fn a_body_not_handed_over_is_unavailable(subject: &dyn Subject) {
    let claim = Claim::new("a_body_not_handed_over_is_unavailable", subject);
    for (case, reply, limit) in [
        ("a reset on connect", Reply::ResetOnConnect, PATIENT),
        ("a reset before the body", Reply::ResetBeforeBody, PATIENT),
        ("a reset in the body", Reply::ResetInBody, PATIENT),
        ("a stall before the body", Reply::StallBeforeBody, BRIEF),
    ] {
        let (_server, provider) = claim.set_up([reply]).await;
        let Some(email) = emails::large(&provider.capabilities()) else { return };
        let sent = claim.call(case, &*provider, &email, limit).await;
        claim.compare(case, &sent, &Expect::Unavailable);
    }
}

/// Once all was handed over, only an answer proves anything.
pub async fn silence_after_the_body_is_strong_doubt(subject: &dyn Subject) {
    let claim = Claim::new("silence_after_the_body_is_strong_doubt", subject);
    for (case, reply) in [
        ("a reset after the body", Reply::ResetAfterBody),
        ("a close after the body", Reply::CloseAfterBody),
        ("a reset in the answer", Reply::ResetInAnswer),
        ("a close in the answer", Reply::CloseInAnswer),
    ] {
        let (_server, provider) = claim.set_up([reply]).await;
        let mut emails = vec![("", emails::ordinary())];
        emails.extend(emails::large(&provider.capabilities()).map(|large| (" of MiBs", large)));
        for (size, email) in emails {
            let case = format!("{case}{size}");
            let sent = claim.call(&case, &*provider, &email, PATIENT).await;
            claim.compare(&case, &sent, &Expect::Strong);
        }
    }
}

/// A send ends when its timeout is over, however the service keeps it waiting, and what it was
/// waiting for is in doubt.
pub async fn a_send_ends_with_its_timeout(subject: &dyn Subject) {
    let claim = Claim::new("a_send_ends_with_its_timeout", subject);
    let answer = match subject.accepted().answer() {
        Some(answer) => answer.clone(),
        None => claim.fail("the subject", "its accepted() has no answer"),
    };
    // No single pause is as long as the timeout; all of them together are.
    let every = Duration::from_millis(50);
    for (case, reply) in
        [("a stall", Reply::Stall), ("a trickled answer", Reply::Trickle { answer, every })]
    {
        let (_server, provider) = claim.set_up([reply]).await;
        let begun = Instant::now();
        let sent = claim.call(case, &*provider, &emails::ordinary(), BRIEF).await;
        claim.compare(case, &sent, &Expect::Strong);
        // Giving up early makes doubt where there need be none.
        claim.check(case, begun.elapsed() >= BRIEF * 9 / 10, "it gave up before its timeout");
    }
}
