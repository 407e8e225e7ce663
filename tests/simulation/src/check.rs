//! The history checker: what was acknowledged, what providers really took, and what the queue
//! says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use shivneri_core::{AttemptId, MessageId};
use shivneri_spool::{MessageRecord, RecipientRecord, Spool, Status};

use crate::{
    plan::OUTAGE,
    run::Acknowledged,
    world::{World, lock},
};

/// How often a recipient is put off at least before its message is too old.
const PUT_OFF: u64 = 3;

/// Within this time of providers being back, waiting mail is sent.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Compares the books at the end; the messages by status, and the acceptances beyond the first.
pub(crate) async fn compare(world: &World) -> (BTreeMap<&'static str, usize>, u64) {
    let memory = world.memory();
    let audit = memory.audit().await.expect("the model can be read");
    if audit.gap() != 0 {
        world.watch.violation(format!("P1: the audit has a gap: {audit:?}"));
    }
    let mut taken = BTreeMap::<(MessageId, String), Vec<AttemptId>>::new();
    for account in &world.accounts {
        for one in account.taken() {
            let to = (one.message, one.recipient.as_str().to_owned());
            taken.entry(to).or_default().push(one.attempt);
        }
        let early = account.early_calls();
        if early > 0 {
            let id = &account.id;
            world.watch.violation(format!("P10: {id} was called {early} times in its pause"));
        }
    }
    let sent: BTreeSet<MessageId> = taken.keys().map(|(id, _)| *id).collect();
    for id in sent {
        if memory.get(id).await.expect("the model can be read").is_none() {
            world.watch.violation(format!("P1: {id} was sent, and the queue does not know it"));
        }
    }
    let acknowledged = world.acknowledged.lock().expect("nobody panicked with it").clone();
    let outage_over = *lock(&world.outage_over);
    let (mut states, mut doubles) = (BTreeMap::<&'static str, usize>::new(), 0);
    for one in &acknowledged {
        let Some(record) = memory.get(one.id).await.expect("the model can be read") else {
            world.watch.violation(format!("P1: {} was acknowledged and is nowhere", one.id));
            continue;
        };
        *states.entry(record.status().as_str()).or_default() += 1;
        let attempts = record.attempts.iter();
        let doubtful = attempts.filter(|attempt| world.watch.was_doubtful(attempt.id)).count();
        for recipient in &record.recipients {
            let taken_by = taken.remove(&(one.id, recipient.address.clone())).unwrap_or_default();
            doubles += (taken_by.len() as u64).saturating_sub(1);
            let accounts = world.accounts.iter();
            let deferrals = accounts.map(|to| to.deferrals(one.id, &recipient.address)).sum();
            let answers = Answers { taken_by, deferrals, doubtful, outage_over };
            for wrong in judge(one, &record, recipient, &answers) {
                let (subject, to) = (&one.mail.subject, &recipient.address);
                world.watch.violation(format!("{wrong}: {} ({subject}) for {to}", one.id));
            }
        }
    }
    (states, doubles)
}

/// What providers really said to one recipient.
struct Answers {
    /// The attempts that it was taken by.
    taken_by: Vec<AttemptId>,
    deferrals: u64,
    /// Attempts of its message that were ever in doubt.
    doubtful: usize,
    /// When providers were up again after an hour without any.
    outage_over: Option<SystemTime>,
}

/// What is wrong with one recipient's end.
fn judge(
    one: &Acknowledged,
    record: &MessageRecord,
    recipient: &RecipientRecord,
    answers: &Answers,
) -> Vec<String> {
    let (status, taken) = (recipient.status, answers.taken_by.len());
    let Answers { deferrals, doubtful, outage_over, .. } = *answers;
    let mut wrong = Vec::new();
    let marked = |id: &AttemptId| {
        record.attempts.iter().any(|attempt| attempt.id == *id && attempt.possible_duplicate)
    };
    let resent = record.attempts.iter().filter(|attempt| attempt.possible_duplicate).count();
    let silent = answers.taken_by.iter().filter(|id| !marked(id)).count();
    if taken > 1 && one.is_held() {
        wrong.push(format!("P3: to be held, and taken {taken} times"));
    }
    if silent > 1 {
        wrong.push(format!("P2: taken {taken} times, {silent} of them by attempts not marked"));
    }
    if taken.saturating_sub(1) > doubtful {
        wrong.push(format!("P2: taken {taken} times, and {doubtful} attempts were in doubt"));
    }
    if resent > 0 && !record.summary.possible_duplicate {
        wrong.push("P2: an attempt may double it, and the message does not say so".into());
    }
    let rejects = rejects(one, recipient);
    match status {
        Status::Accepted if taken == 0 => {
            wrong.push("P1: accepted, and no provider took it".into());
        }
        Status::Accepted => {}
        Status::InDoubt if doubtful == 0 => {
            wrong.push("P2: in doubt, and no attempt ever was".into());
        }
        Status::InDoubt => {
            let over =
                one.is_held() || resent >= 2 || rejects || record.deadline <= SystemTime::now();
            if !over {
                wrong.push(format!("P1: given up in doubt after it was sent again {resent} times"));
            }
        }
        Status::Rejected | Status::Expired if taken > 0 => {
            wrong.push(format!("P1: {status}, and a provider took it"));
        }
        Status::Rejected if rejects => {}
        Status::Rejected => wrong.push("P1: rejected, and nobody had a reason to".into()),
        Status::Expired => {
            // Too old in the end may be what providers put off again and again, and what only one
            // of them judged, which is not enough to reject it.
            let judges: BTreeSet<_> = record
                .attempts
                .iter()
                .filter(|attempt| attempt.outcome.as_deref() == Some("rejected"))
                .map(|attempt| &attempt.provider)
                .collect();
            let unexplained = one.mail.subject.starts_with("odd") && judges.len() == 1;
            // What waits while no provider is up goes when they are, if it has the time: mail of
            // that hour, and mail in doubt that was proven unsent as the hour began.
            let outage = outage_over.is_some_and(|over| {
                let within = over - OUTAGE..over + CATCH_UP;
                within.contains(&record.deadline)
            });
            if one.mail.life.is_none() && deferrals < PUT_OFF && !unexplained && !outage {
                wrong.push(format!(
                    "P1: expired long before its time, {deferrals} times put off, {} judges",
                    judges.len()
                ));
            }
        }
        Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Delivered
        | Status::Cancelled
        | Status::Suppressed
        | Status::Bounced
        | Status::Complained
        | Status::Damaged => wrong.push(format!("P1: ended as {status}")),
    }
    wrong
}

/// Whether providers have a reason to reject this recipient.
fn rejects(one: &Acknowledged, recipient: &RecipientRecord) -> bool {
    let mail = &one.mail;
    let bad = ["bad", "odd"].iter().any(|word| mail.subject.starts_with(word));
    let unknown = ["unknown", "refused"].iter().any(|word| recipient.address.starts_with(word));
    // Too large for the one provider it may go to.
    let large = mail.subject.starts_with("large") && mail.route == Some("alpha");
    bad || unknown || large
}
