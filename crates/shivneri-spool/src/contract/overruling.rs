//! Claims about mail in doubt that a person has sent again.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{Attempt, Transition};

use super::{Subject, fixture::*};
use crate::{Amended, Change, Duplicates, MessageRecord, Spool, Status};

/// Mail that ended in doubt and was requeued all the same: the attempt in doubt, by an agent.
async fn overruled(spool: &Arc<dyn Spool>, now: SystemTime) -> Attempt {
    let delivery = accept_and_lease(spool, &draft(&["b@example.org"]), now).await;
    let first = agent_attempt(&delivery, "alpha", "one");
    spool.begin(&first).await.expect("it is recorded");
    let given_up = Transition::InDoubt { reason: "on_doubt is hold".into() };
    spool.end(&first, &doubtful(), &given_up).await.expect("it is closed");
    let change = spool.requeue(first.message, Duplicates::Accept, now).await;
    assert_eq!(change.expect("it is answered"), Change::Done);
    first
}

async fn bound(spool: &Arc<dyn Spool>) -> u64 {
    spool.stats().await.expect("it can be read").duplicates_bound()
}

fn shown(record: &MessageRecord) -> (Status, bool) {
    (record.status(), record.summary.in_doubt)
}

async fn learn_that_it_was_taken(spool: &Arc<dyn Spool>, first: &Attempt) -> Amended {
    let amended = spool.amend(first.id, &accepted(), &Transition::Accepted).await;
    amended.expect("it is committed")
}

/// It is sent again at once, but whatever becomes of that: it was perhaps sent before. That it
/// was moves it to accepted, however late it is learned.
pub async fn a_doubt_that_a_person_overruled_is_hidden_by_no_later_end(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let rejection = Transition::Rejected { reason: "bad content".into() };
    for end in [Some(rejection), Some(Transition::Expired), None] {
        let first = overruled(&spool, now).await;
        let queued = record(&spool, first.message).await;
        assert_eq!(shown(&queued), (Status::Queued, true));
        assert_eq!(bound(&spool).await, 1, "nothing has settled it");
        let again = lease_one(&spool, now).await;
        assert!(!again.is_in_doubt(), "it waits for nothing");
        match &end {
            Some(transition) => {
                try_once(&spool, &again, &rejected(), transition).await;
                let ended = record(&spool, first.message).await;
                assert_eq!(shown(&ended), (Status::InDoubt, true), "{transition:?}");
                assert!(ended.attempts[1].possible_duplicate);
            }
            None => {
                let change = spool.cancel(first.message, now).await.expect("it is answered");
                assert!(matches!(change, Change::Refused { .. }), "{change:?}");
            }
        }
        assert_eq!(bound(&spool).await, 1);
        assert_eq!(learn_that_it_was_taken(&spool, &first).await, Amended::Moved);
        let learned = record(&spool, first.message).await;
        assert_eq!((shown(&learned), bound(&spool).await), ((Status::Accepted, false), 0));
        assert!(spool.lease(9, now + seconds(99)).await.expect("it can be read").is_empty());
    }
    assert_whole(&spool).await;
}

/// Whichever is learned first.
pub async fn overruled_mail_that_was_taken_twice_is_a_confirmed_duplicate(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    for (under_way, expected) in [(false, 1), (true, 2)] {
        let first = overruled(&spool, now).await;
        let second = attempt(&lease_one(&spool, now).await, "beta");
        spool.begin(&second).await.expect("it is recorded");
        if under_way {
            assert_eq!(learn_that_it_was_taken(&spool, &first).await, Amended::Moved);
        }
        spool.end(&second, &accepted(), &Transition::Accepted).await.expect("it is closed");
        if !under_way {
            assert_eq!(learn_that_it_was_taken(&spool, &first).await, Amended::Closed);
        }
        let stats = spool.stats().await.expect("it can be read");
        assert_eq!((stats.possible_duplicates, stats.confirmed_duplicates), (expected, expected));
        assert_eq!(shown(&record(&spool, first.message).await), (Status::Accepted, false));
        assert_eq!(stats.duplicates_bound(), 0);
    }
    assert_whole(&spool).await;
}

/// Then its later end holds; where that had only been held back, it is sent after all.
pub async fn overruled_mail_that_was_never_sent_is_in_doubt_no_more(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let rejection = Transition::Rejected { reason: "bad content".into() };
    for after_its_end in [false, true] {
        let first = overruled(&spool, now).await;
        let id = first.message;
        if after_its_end {
            try_once(&spool, &lease_one(&spool, now).await, &rejected(), &rejection).await;
        }
        let amended = spool.amend(first.id, &not_started(), &retry(now)).await;
        let moves = if after_its_end { Amended::Moved } else { Amended::Closed };
        assert_eq!(amended.expect("it is committed"), moves);
        let known = record(&spool, id).await;
        assert_eq!((shown(&known), bound(&spool).await), ((Status::Queued, false), 0));
        let again = lease_one(&spool, now).await;
        let last = try_once(&spool, &again, &rejected(), &rejection).await;
        assert!(!last.possible_duplicate);
        assert_eq!(shown(&record(&spool, id).await), (Status::Rejected, false));
    }
    assert_whole(&spool).await;
}
