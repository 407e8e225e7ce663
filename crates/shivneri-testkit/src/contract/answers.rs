//! Claims about complete answers.

use std::time::{Duration, SystemTime};

use shivneri_core::Failure;

use super::{
    Expect, Subject,
    claim::{Claim, PATIENT, Sent, describe},
    date::http_date,
    emails,
};
use crate::{Answer, Reply};

const HTML: &str = "<html><body>Something the API's documentation does not know</body></html>";

fn undocumented(status: u16) -> [(String, Reply); 3] {
    [
        (format!("status {status} with HTML"), Reply::text(status, HTML)),
        (format!("status {status} with an empty body"), Reply::empty(status)),
        (format!("status {status} with empty JSON"), Reply::json(status, "{}")),
    ]
}

async fn undocumented_are(claim: &Claim<'_>, statuses: &[u16], expected: &Expect) {
    let documented = claim.subject.documented_statuses();
    for status in statuses.iter().filter(|status| !documented.contains(status)) {
        for (case, reply) in undocumented(*status) {
            claim.expect(&case, reply, expected).await;
        }
    }
}

/// An acceptance gives the provider's own id, and names nobody as refused.
pub async fn an_acceptance_gives_the_providers_id(subject: &dyn Subject) {
    let claim = Claim::new("an_acceptance_gives_the_providers_id", subject);
    match claim.send("an acceptance", subject.accepted()).await {
        Ok(receipt) => {
            let id = receipt.provider_message_id.as_str();
            let why = format!("the id is {id:?}, not {:?}", subject.accepted_id());
            claim.check("an acceptance", id == subject.accepted_id(), &why);
            let all = receipt.refused.is_empty() && receipt.deferred.is_empty();
            claim.check("an acceptance", all, "it names recipients that were not taken");
        }
        sent @ Err(_) => claim.compare("an acceptance", &sent, &Expect::Accepted),
    }
}

/// An answer that comes slowly, and in time, is as good as any.
pub async fn a_slow_answer_in_time_is_accepted(subject: &dyn Subject) {
    let claim = Claim::new("a_slow_answer_in_time_is_accepted", subject);
    let every = Duration::from_millis(1);
    let reply = Reply::Trickle { answer: whole(&claim, &subject.accepted()), every };
    claim.expect("a trickled acceptance", reply, &Expect::Accepted).await;
}

/// Each documented answer means what the subject's table says.
pub async fn documented_answers_mean_what_the_table_says(subject: &dyn Subject) {
    let claim = Claim::new("documented_answers_mean_what_the_table_says", subject);
    for case in subject.table() {
        claim.expect(case.name, case.reply, &case.expect).await;
    }
}

/// A 4xx that nobody documented condemns nothing by itself.
pub async fn an_undocumented_4xx_is_an_unexplained_rejection(subject: &dyn Subject) {
    let claim = Claim::new("an_undocumented_4xx_is_an_unexplained_rejection", subject);
    let statuses = [400, 409, 418, 422, 451];
    undocumented_are(&claim, &statuses, &Expect::RejectedUnexplained).await;
}

/// A key that is not welcome is the account's fault, not the message's.
pub async fn a_401_or_403_is_a_fault_of_the_account(subject: &dyn Subject) {
    let claim = Claim::new("a_401_or_403_is_a_fault_of_the_account", subject);
    let documented = subject.documented_statuses();
    for status in [401, 403].into_iter().filter(|status| !documented.contains(status)) {
        for (case, reply) in undocumented(status) {
            let sent = claim.send(&case, reply).await;
            let fault = failed(&sent, |failure| matches!(failure, Failure::AccountFault(_)));
            claim.check(&case, fault, &format!("it came to {}", describe(&sent)));
        }
    }
}

/// An email too large for this provider may fit another.
pub async fn a_413_is_unsupported(subject: &dyn Subject) {
    let claim = Claim::new("a_413_is_unsupported", subject);
    undocumented_are(&claim, &[413], &Expect::Unsupported).await;
}

/// A service that refuses before it has read the body is heard.
///
/// Void where the provider carries no attachment of 4 MiB.
pub async fn an_answer_before_the_body_is_heard(subject: &dyn Subject) {
    let claim = Claim::new("an_answer_before_the_body_is_heard", subject);
    let documented = subject.documented_statuses();
    for (status, expected) in [(413, Expect::Unsupported), (418, Expect::RejectedUnexplained)] {
        if documented.contains(&status) {
            continue;
        }
        let case = format!("status {status} in place of the body");
        let reply = Reply::AnswerBeforeBody(Answer::new(status, HTML));
        let (_server, provider) = claim.set_up([reply]).await;
        let Some(email) = emails::large(&provider.capabilities()) else { return };
        let sent = claim.call(&case, &*provider, &email, PATIENT).await;
        claim.compare(&case, &sent, &expected);
    }
}

/// A throttle is told with the pause that was asked for, in each form it may come.
pub async fn a_throttle_is_told_with_its_pause(subject: &dyn Subject) {
    let claim = Claim::new("a_throttle_is_told_with_its_pause", subject);
    let exactly = Expect::Throttled(Some(Duration::from_secs(17)));
    claim.expect("the API's own throttle", subject.throttled(Some(17)), &exactly).await;
    throttles(&claim, "the API's own throttle without a pause", subject.throttled(None)).await;
    if !subject.documented_statuses().contains(&429) {
        retry_after(&claim, 429).await;
        throttles(&claim, "status 429 without a pause", Reply::text(429, HTML)).await;
    }
}

/// A 503 with Retry-After says that it took nothing, and when to come again.
pub async fn a_503_with_retry_after_is_a_throttle(subject: &dyn Subject) {
    let claim = Claim::new("a_503_with_retry_after_is_a_throttle", subject);
    if !subject.documented_statuses().contains(&503) {
        retry_after(&claim, 503).await;
    }
}

async fn retry_after(claim: &Claim<'_>, status: u16) {
    let reply = |value: &str| Reply::text(status, HTML).with_header("Retry-After", value);
    let case = |form: &str| format!("status {status} with Retry-After {form}");
    let exactly = Expect::Throttled(Some(Duration::from_secs(23)));
    claim.expect(&case("in seconds"), reply("23"), &exactly).await;

    let form = case("as a date");
    let date = http_date(SystemTime::now() + Duration::from_secs(90));
    let sent = claim.send(&form, reply(&date)).await;
    let near = failed(&sent, |failure| match failure {
        Failure::Throttled { retry_after: Some(pause) } => (60..=91).contains(&pause.as_secs()),
        Failure::Throttled { retry_after: None }
        | Failure::Rejected(_)
        | Failure::Unsupported
        | Failure::AccountFault(_)
        | Failure::Unavailable
        | Failure::InDoubt(_) => false,
    });
    claim.check(&form, near, &format!("90 seconds ahead, it came to {}", describe(&sent)));

    let past = http_date(SystemTime::now() - Duration::from_secs(90));
    throttles(claim, &case("as a date that is over"), reply(&past)).await;
}

async fn throttles(claim: &Claim<'_>, case: &str, reply: Reply) {
    let sent = claim.send(case, reply).await;
    let throttled = failed(&sent, |failure| matches!(failure, Failure::Throttled { .. }));
    claim.check(case, throttled, &format!("it came to {}", describe(&sent)));
}

/// A 5xx that nobody documented may come from a balancer behind which the mail went out.
pub async fn an_undocumented_5xx_is_weak_doubt(subject: &dyn Subject) {
    let claim = Claim::new("an_undocumented_5xx_is_weak_doubt", subject);
    undocumented_are(&claim, &[500, 502, 503, 504], &Expect::Weak).await;
}

/// A success that does not say what was accepted settles nothing.
pub async fn a_success_that_makes_no_sense_is_weak_doubt(subject: &dyn Subject) {
    let claim = Claim::new("a_success_that_makes_no_sense_is_weak_doubt", subject);
    let accepted = whole(&claim, &subject.accepted());
    // Where the id is in a header, the garbage comes without headers; else with the right ones.
    let headers = if subject.empty_success() { Vec::new() } else { accepted.headers };
    let half = accepted.body.slice(..accepted.body.len() / 2);
    for (case, body) in [
        ("HTML", HTML.into()),
        ("an empty body", "".into()),
        ("an empty object", "{}".into()),
        ("an empty list", "[]".into()),
        ("null", "null".into()),
        ("half of the right body", half),
        ("octets that are no text", b"\xff\xfe\x00{".as_slice().into()),
    ] {
        let answer = Answer { status: accepted.status, headers: headers.clone(), body };
        claim.expect(case, Reply::Answer(answer), &Expect::Weak).await;
    }
}

/// An answer without end fills no memory, and its status still counts.
pub async fn a_huge_answer_is_not_read_to_its_end(subject: &dyn Subject) {
    let claim = Claim::new("a_huge_answer_is_not_read_to_its_end", subject);
    let bytes = 100 << 20;
    let accepted = whole(&claim, &subject.accepted()).status;
    let documented = subject.documented_statuses();
    for (status, expected) in [
        (accepted, Expect::Weak),
        (418, Expect::RejectedUnexplained),
        (413, Expect::Unsupported),
        (500, Expect::Weak),
    ] {
        if documented.contains(&status) && status != accepted {
            continue;
        }
        let case = format!("status {status} with 100 MiB");
        let (server, provider) = claim.set_up([Reply::Huge { status, bytes }]).await;
        let sent = claim.call(&case, &*provider, &emails::ordinary(), PATIENT).await;
        claim.compare(&case, &sent, &expected);
        let read = server.answered_bytes();
        claim.check(&case, read < bytes, "the answer was read to its end");
    }
}

fn failed(sent: &Sent, is_such: impl FnOnce(&Failure) -> bool) -> bool {
    sent.as_ref().is_err_and(|error| is_such(error.failure()))
}

fn whole(claim: &Claim<'_>, reply: &Reply) -> Answer {
    match reply.answer() {
        Some(answer) => answer.clone(),
        None => claim.fail("the subject", "its accepted() has no answer"),
    }
}
