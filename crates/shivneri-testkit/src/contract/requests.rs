//! Claims about requests: how many, to whom, and that each is the same.

use std::time::Duration;

use shivneri_core::{Attempt, AttemptId, Doubt, Failure, Scope};
use tokio::time::timeout;

use super::{
    Subject,
    claim::{BRIEF, Claim, PATIENT, describe, settle},
    emails,
};
use crate::{FaultServer, Reply};

/// Whatever comes of it, a send makes one request on one connection: retrying is not the
/// provider's business.
pub async fn one_send_is_one_request(subject: &dyn Subject) {
    let claim = Claim::new("one_send_is_one_request", subject);
    let html = |status| Reply::text(status, "<html>no</html>");
    for (case, reply) in [
        ("an acceptance", subject.accepted()),
        ("a throttle", subject.throttled(None)),
        ("a throttle with its pause", subject.throttled(Some(1))),
        ("a 401", html(401)),
        ("a 418", html(418)),
        ("a 500", html(500)),
        ("a 503", html(503)),
        ("a 503 with Retry-After", html(503).with_header("Retry-After", "1")),
        ("a success without sense", html(200)),
        ("a reset after the body", Reply::ResetAfterBody),
        ("a close after the body", Reply::CloseAfterBody),
        ("a reset in the answer", Reply::ResetInAnswer),
        ("a close in the answer", Reply::CloseInAnswer),
    ] {
        let (server, provider) = claim.set_up([reply]).await;
        let _ = claim.call(case, &*provider, &emails::ordinary(), PATIENT).await;
        count(&claim, case, &server, 1).await;
    }
    let (server, provider) = claim.set_up([Reply::Stall]).await;
    let _ = claim.call("a stall", &*provider, &emails::ordinary(), BRIEF).await;
    count(&claim, "a stall", &server, 1).await;

    for (case, reply, requests) in [
        ("a reset on connect", Reply::ResetOnConnect, 0),
        ("a reset before the body", Reply::ResetBeforeBody, 1),
        ("a reset in the body", Reply::ResetInBody, 1),
    ] {
        let (server, provider) = claim.set_up([reply]).await;
        let Some(email) = emails::large(&provider.capabilities()) else { break };
        let _ = claim.call(case, &*provider, &email, PATIENT).await;
        count(&claim, case, &server, requests).await;
    }
}

async fn count(claim: &Claim<'_>, case: &str, server: &FaultServer, expected: usize) {
    settle().await;
    let (requests, connections) = (server.requests().len(), server.connections());
    claim.check(
        case,
        requests == expected && connections == 1,
        &format!("{requests} requests on {connections} connections, not {expected} on one"),
    );
}

/// A redirect is neither followed nor an acceptance, nor proof that nothing was taken.
pub async fn a_redirect_is_not_followed(subject: &dyn Subject) {
    let claim = Claim::new("a_redirect_is_not_followed", subject);
    for status in [301, 302, 303, 307, 308] {
        let case = format!("status {status}");
        let (server, provider) = claim.set_up([]).await;
        let to = format!("{}/elsewhere", server.url());
        server.script([Reply::empty(status).with_header("Location", to), subject.accepted()]);
        let sent = claim.call(&case, &*provider, &emails::ordinary(), PATIENT).await;
        let honest = match &sent {
            Ok(_) => false,
            Err(error) => matches!(
                error.failure(),
                Failure::Rejected(Scope::Unexplained) | Failure::InDoubt(Doubt::Weak)
            ),
        };
        claim.check(&case, honest, &format!("it came to {}", describe(&sent)));
        count(&claim, &case, &server, 1).await;
    }
}

/// Dropping a send closes its connection, and nothing goes on in the background.
pub async fn a_dropped_send_leaves_nothing_behind(subject: &dyn Subject) {
    let claim = Claim::new("a_dropped_send_leaves_nothing_behind", subject);
    let case = "a send dropped while its answer is awaited";
    let (server, provider) = claim.set_up([Reply::Stall]).await;
    let email = emails::ordinary();
    tokio::select! {
        sent = claim.call(case, &*provider, &email, PATIENT) => {
            claim.fail(case, &format!("it returned without an answer: {}", describe(&sent)));
        }
        _ = server.next_request() => {}
    }
    if timeout(Duration::from_secs(5), server.all_closed()).await.is_err() {
        claim.fail(case, "its connection stays open");
    }
    count(&claim, case, &server, 1).await;
}

/// A connection that the service closes while it is idle is not used again: that would make
/// doubt where there is none.
pub async fn a_connection_closed_while_idle_makes_no_doubt(subject: &dyn Subject) {
    let claim = Claim::new("a_connection_closed_while_idle_makes_no_doubt", subject);
    let accepted = subject.accepted();
    let Some(answer) = accepted.answer().cloned() else {
        claim.fail("the subject", "its accepted() has no answer");
    };
    let (server, provider) = claim.set_up([Reply::CloseIdle(answer)]).await;
    for n in 1..=6 {
        let case = format!("send {n}, the connection before it closed");
        let sent = claim.call(&case, &*provider, &emails::ordinary(), PATIENT).await;
        claim.compare(&case, &sent, &super::Expect::Accepted);
        if timeout(Duration::from_secs(5), server.all_closed()).await.is_err() {
            claim.fail(&case, "the server could not close the connection");
        }
        settle().await;
    }
    claim.check("six sends", server.requests().len() == 6, "not six requests");
}

/// The request follows from the email and the attempt's key alone, so that a service which knows
/// idempotency keys sees the same one twice, and a repeated Message-ID is one.
pub async fn the_request_is_the_same_each_time(subject: &dyn Subject) {
    let claim = Claim::new("the_request_is_the_same_each_time", subject);
    let case = "the same email sent twice";
    let (server, provider) = claim.set_up([subject.accepted()]).await;
    let email = emails::with_file();
    let first = Attempt { timeout: PATIENT, ..Attempt::single(&email, provider.id().clone()) };
    let mut second = first.clone();
    if provider.capabilities().idempotent {
        let (id, number, request) = (AttemptId::new(), 2, first.request);
        second = Attempt { id, number, request, possible_duplicate: true, ..second };
    }
    for attempt in [first, second] {
        // Another provider each time: what one instance remembers must not matter.
        let sent = subject.build(&server.url()).send(&email, &attempt).await;
        claim.compare(case, &sent, &super::Expect::Accepted);
    }
    match server.requests().as_slice() {
        [one, two] => {
            claim.check(case, one.method == two.method, "the methods differ");
            claim.check(case, one.path == two.path, "the paths differ");
            claim.check(case, one.body == two.body, "the bodies differ");
        }
        requests => claim.fail(case, &format!("{} requests", requests.len())),
    }
}
