use proptest::prelude::*;
use shivneri_core::{Doubt, Receipt, SendError};

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn addresses(letters: &str) -> Vec<EmailAddress> {
    letters.chars().map(|letter| format!("{letter}@x.org").parse().unwrap()).collect()
}

fn part(letters: &str) -> Part {
    let deadline = NOW + Duration::from_secs(60);
    Part::first(DeliveryId::new(), addresses(letters), NOW, deadline, NOW)
}

fn names(part: &Part) -> String {
    part.recipients.iter().map(EmailAddress::local).collect()
}

fn outcome(kind: u8, refused: Vec<EmailAddress>, deferred: Vec<EmailAddress>) -> Outcome {
    let failed = |failure| Outcome::Failed(SendError::new(failure, "for a reason"));
    match kind % 4 {
        0 => Outcome::Accepted(Receipt { refused, deferred, ..Receipt::new("1") }),
        1 => failed(Failure::Rejected(Scope::Recipients(refused))),
        2 => failed(Failure::InDoubt(Doubt::Strong)),
        _ => failed(Failure::Unavailable),
    }
}

#[test]
fn recipients_that_are_deferred_again_and_again_are_tried_less_and_less_often() {
    let mut part = part("a");
    // Its draw is the highest, so that each wait is as long as it can be.
    part.id = DeliveryId::from_uuid(uuid::Uuid::from_u128(u128::MAX));
    part.deadline = NOW + Duration::from_secs(100);
    let waits: Vec<u64> = (1..=4)
        .map(|attempts| {
            part.attempts = attempts;
            let split = part.apply(
                Some(&outcome(0, vec![], addresses("a"))),
                &Transition::Accepted,
                1,
                NOW,
            );
            assert!(split.is_empty() && part.state == Status::Queued);
            part.due.duration_since(NOW).unwrap().as_secs()
        })
        .collect();
    assert_eq!(waits, [9, 19, 39, 50], "and by then half of its time is left");
}

fn transition(kind: u8) -> Transition {
    let reason = "for a reason".to_owned();
    match kind % 8 {
        0 => Transition::Continue,
        1 => Transition::Accepted,
        2 => Transition::Rejected { reason },
        3 => Transition::Retry { at: NOW, reason },
        4 => Transition::Doubt { until: NOW },
        5 => Transition::InDoubt { reason },
        6 => Transition::Ask { at: NOW, until: NOW },
        _ => Transition::Expired,
    }
}

proptest! {
    #[test]
    fn whatever_follows_every_recipient_is_in_exactly_one_part(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), "[a-f]{0,3}", "[a-f]{0,3}"), 1..6),
        doubts in 0_u32..2,
    ) {
        let mut parts = vec![Part { doubts, ..part("abcdef") }];
        for (what, how, refused, deferred) in steps {
            let at = usize::from(how) % parts.len();
            let next = parts.len() as u16;
            let outcome = outcome(what, addresses(&refused), addresses(&deferred));
            let split = parts[at].apply(Some(&outcome), &transition(how), next, NOW);
            parts.extend(split);
        }
        let mut all: Vec<char> = parts.iter().flat_map(|part| names(part).chars().collect::<Vec<_>>()).collect();
        all.sort_unstable();
        prop_assert_eq!(all.into_iter().collect::<String>(), "abcdef");
        for (number, part) in parts.iter().enumerate() {
            prop_assert_eq!(usize::from(part.number), number);
            prop_assert!(!part.recipients.is_empty());
            let dropped = |one: &EmailAddress| part.dropped.iter().any(|gone| gone == one);
            prop_assert!(!part.recipients.iter().any(dropped), "it would have no headers");
            if doubts > 0 {
                prop_assert!(!matches!(part.state, Status::Rejected | Status::Expired));
            }
        }
    }
}

#[test]
fn the_last_recipient_that_is_refused_ends_the_part_itself() {
    let mut part = part("ab");
    let refuse = |letters| outcome(1, addresses(letters), Vec::new());
    let split = part.apply(Some(&refuse("b")), &Transition::Continue, 1, NOW);
    assert_eq!((names(&part), part.state, split.len()), ("a".to_owned(), Status::Queued, 1));
    assert_eq!((names(&split[0]), split[0].state), ("b".to_owned(), Status::Rejected));
    let split = part.apply(Some(&refuse("a")), &Transition::Continue, 2, NOW);
    assert_eq!((names(&part), part.state, split.len()), ("a".to_owned(), Status::Rejected, 0));
    assert!(!part.stays_leased(&Transition::Continue));
}

#[test]
fn a_doubt_that_was_settled_meanwhile_ends_nothing() {
    let mut part = part("a");
    let given_up = Transition::InDoubt { reason: "on_doubt is hold".into() };
    part.apply(None, &given_up, 1, NOW);
    assert_eq!((part.state, part.due), (Status::Queued, NOW));
    part.doubts = 1;
    part.apply(None, &given_up, 1, NOW);
    assert_eq!(part.state, Status::InDoubt);
}

#[test]
fn recipients_taken_by_nobody_keep_the_part_waiting() {
    let mut part = part("ab");
    let outcome = outcome(0, Vec::new(), addresses("ab"));
    assert!(part.apply(Some(&outcome), &Transition::Accepted, 1, NOW).is_empty());
    assert_eq!((names(&part), part.state), ("ab".to_owned(), Status::Queued));
    assert!(part.due >= NOW + retry::SHORTEST);
}
