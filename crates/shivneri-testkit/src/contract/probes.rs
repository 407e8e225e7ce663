//! Claims about probes.

use std::time::Duration;

use shivneri_core::{Failure, SendError};
use tokio::time::timeout;

use super::{
    Subject,
    claim::{Claim, PATIENT, settle},
    emails,
    faults::refusing_url,
};
use crate::Reply;

/// A healthy account's probe is green.
pub async fn a_healthy_account_probes_green(subject: &dyn Subject) {
    let claim = Claim::new("a_healthy_account_probes_green", subject);
    let probed = probe(&claim, subject.probe_ok()).await;
    claim.check("probe_ok()", probed.is_ok(), &format!("it came to {probed:?}"));
}

/// A probe with a wrong key is an account's fault.
pub async fn a_wrong_key_shows_in_the_probe(subject: &dyn Subject) {
    let claim = Claim::new("a_wrong_key_shows_in_the_probe", subject);
    let probed = probe(&claim, subject.probe_faulted()).await;
    let fault =
        probed.as_ref().is_err_and(|error| matches!(error.failure(), Failure::AccountFault(_)));
    claim.check("probe_faulted()", fault, &format!("it came to {probed:?}"));
}

/// A probe is green only for an answer that proves something.
pub async fn a_probe_of_a_broken_service_is_not_green(subject: &dyn Subject) {
    let claim = Claim::new("a_probe_of_a_broken_service_is_not_green", subject);
    for (case, reply) in [
        ("a 500", Reply::text(500, "no")),
        ("a 503", Reply::text(503, "no")),
        ("a close without an answer", Reply::CloseAfterBody),
    ] {
        claim.check(case, probe(&claim, reply).await.is_err(), "it is green");
    }
    let case = "a refused connection";
    let probed = subject.build(&refusing_url().await).probe().await;
    let unavailable = probed.is_err_and(|error| *error.failure() == Failure::Unavailable);
    claim.check(case, unavailable, "it is not unavailable");
}

/// A probe sends no mail: nothing is posted where mail is posted.
pub async fn a_probe_sends_no_mail(subject: &dyn Subject) {
    let claim = Claim::new("a_probe_sends_no_mail", subject);
    let case = "probe_ok()";
    let (server, provider) = claim.set_up([subject.accepted(), subject.probe_ok()]).await;
    let _ = claim.call("a send", &*provider, &emails::ordinary(), PATIENT).await;
    let Some(sent) = server.requests().into_iter().next() else {
        claim.fail("a send", "it made no request");
    };
    let _ = provider.probe().await;
    settle().await;
    let probes = server.requests().split_off(1);
    claim.check(case, !probes.is_empty(), "it made no request");
    let mailed = probes
        .iter()
        .any(|probe| probe.method == sent.method && probe.path_only() == sent.path_only());
    claim.check(case, !mailed, "it goes where mail goes");
}

async fn probe(claim: &Claim<'_>, reply: Reply) -> Result<(), SendError> {
    let (_server, provider) = claim.set_up([reply]).await;
    match timeout(Duration::from_secs(20), provider.probe()).await {
        Ok(probed) => probed,
        Err(_) => claim.fail("a probe", "it did not end within 20 s"),
    }
}
