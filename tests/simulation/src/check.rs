//! The history checker: what was acknowledged, what providers really took, and what the queue
//! says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use shivneri_spool::{MessageRecord, RecipientRecord, Spool, Status};

use crate::{
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
    let mut taken = BTreeMap::new();
    for account in &world.accounts {
        account.count_into(&mut taken);
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
        for recipient in &record.recipients {
            let count = taken
                .iter()
                .filter(|((id, to), _)| *id == one.id && to.as_str() == recipient.address)
                .map(|(_, count)| *count)
                .sum::<u64>();
            doubles += count.saturating_sub(1);
            let accounts = world.accounts.iter();
            let deferrals = accounts.map(|to| to.deferrals(one.id, &recipient.address)).sum();
            let answers = Answers { taken: count, deferrals, outage_over };
            for wrong in judge(one, &record, recipient, answers) {
                let (subject, to) = (&one.mail.subject, &recipient.address);
                world.watch.violation(format!("{wrong}: {} ({subject}) for {to}", one.id));
            }
        }
    }
    let bound = world.watch.doubtful() as u64;
    // Each attempt in doubt may double each of its recipients once.
    let widest = acknowledged.iter().map(|one| one.mail.to.len()).max().unwrap_or(1) as u64;
    if doubles > bound * widest {
        world.watch.violation(format!("P2: {doubles} doubles, and {bound} attempts were in doubt"));
    }
    (states, doubles)
}

/// What providers really said to one recipient.
struct Answers {
    taken: u64,
    deferrals: u64,
    /// When providers were up again after an hour without any.
    outage_over: Option<SystemTime>,
}

/// What is wrong with one recipient's end.
fn judge(
    one: &Acknowledged,
    record: &MessageRecord,
    recipient: &RecipientRecord,
    Answers { taken, deferrals, outage_over }: Answers,
) -> Vec<String> {
    let status = recipient.status;
    let mut wrong = Vec::new();
    let resent = record.attempts.iter().filter(|attempt| attempt.possible_duplicate).count();
    if taken > 1 && one.is_held() {
        wrong.push(format!("P3: to be held, and taken {taken} times"));
    }
    if taken > 1 && (taken - 1) as usize > resent {
        wrong.push(format!("P2: taken {taken} times, and {resent} attempts say it may double"));
    }
    if resent > 0 && !record.summary.possible_duplicate {
        wrong.push("P2: an attempt may double it, and the message does not say so".into());
    }
    match status {
        Status::Accepted if taken == 0 => {
            wrong.push("P1: accepted, and no provider took it".into());
        }
        Status::Accepted => {}
        Status::InDoubt => {}
        Status::Rejected | Status::Expired if taken > 0 => {
            wrong.push(format!("P1: {status}, and a provider took it"));
        }
        Status::Rejected => {}
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
            // What came while no provider was up goes when they are, if it has the time.
            let outage = one.mail.subject.starts_with("outage")
                && outage_over.is_some_and(|over| record.deadline < over + CATCH_UP);
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
