//! Claims about search, counts and events.

use std::{sync::Arc, time::SystemTime};

use shivneri_core::{MessageId, Transition, draft::Draft};

use super::{Subject, fixture::*};
use crate::{Search, Spool, Status};

async fn found(spool: &Arc<dyn Spool>, search: Search) -> Vec<MessageId> {
    let page = spool.search(&search).await.expect("the spool can be read");
    page.messages.into_iter().map(|summary| summary.id).collect()
}

async fn send(spool: &Arc<dyn Spool>, draft: &Draft, at: SystemTime) -> MessageId {
    let delivery = accept_and_lease(spool, draft, at).await;
    try_once(spool, &delivery, &accepted(), &Transition::Accepted).await;
    delivery.message()
}

/// A table of each alone, and all together.
pub async fn each_part_of_a_search_narrows_it(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let subject_of = |text: &str, tag: &str, to: &str| Draft {
        subject: text.into(),
        tags: vec![tag.into()],
        ..draft(&[to])
    };
    let one = send(&spool, &subject_of("Die Rechnung", "invoice", "Bea@x.org"), now).await;
    let two =
        accept(&spool, &subject_of("Welcome", "welcome", "bea@x.org"), now + seconds(10)).await;
    let three = accept(&spool, &subject_of("100% off", "news", "c@y.org"), now + seconds(20)).await;
    let all = Search::default;
    let provider = Some("alpha".parse().expect("it is a name"));
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (all(), vec![three, two, one]),
        (Search { status: Some(Status::Accepted), ..all() }, vec![one]),
        (Search { status: Some(Status::Queued), ..all() }, vec![three, two]),
        (Search { status: Some(Status::Rejected), ..all() }, vec![]),
        (Search { recipient: text("BEA@x.org"), ..all() }, vec![two, one]),
        (Search { recipient: text("ea@x.org"), ..all() }, vec![]),
        (Search { provider, ..all() }, vec![one]),
        (Search { tag: text("welcome"), ..all() }, vec![two]),
        (Search { tag: text("wel"), ..all() }, vec![]),
        (Search { q: text("rechnung"), ..all() }, vec![one]),
        (Search { q: text("0% o"), ..all() }, vec![three]),
        (Search { q: text("y.org"), ..all() }, vec![three]),
        (Search { q: text("asha@"), ..all() }, vec![three, two, one]),
        (Search { q: Some(two.to_string()), ..all() }, vec![two]),
        (Search { since: Some(now + seconds(10)), ..all() }, vec![three, two]),
        (Search { until: Some(now + seconds(10)), ..all() }, vec![one]),
        (
            Search {
                status: Some(Status::Queued),
                recipient: text("bea@x.org"),
                since: Some(now + seconds(5)),
                q: text("elcom"),
                ..all()
            },
            vec![two],
        ),
    ];
    for (search, expected) in cases {
        assert_eq!(found(&spool, search.clone()).await, expected, "{search:?}");
    }
}

/// With and without a filter, whatever the page's size.
pub async fn pages_show_each_message_once_and_the_newest_first(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let mut expected = Vec::new();
    for index in 0..23 {
        let lane = if index % 3 == 0 { "bulk" } else { "critical" };
        let draft = Draft { lane: Some(lane.into()), ..draft(&["b@example.org"]) };
        expected.insert(0, accept(&spool, &draft, now + seconds(index)).await);
    }
    for (limit, status) in
        [(1, None), (5, None), (5, Some(Status::Queued)), (23, None), (100, Some(Status::Queued))]
    {
        let mut search = Search { limit: Some(limit), status, ..Search::default() };
        let mut seen = Vec::new();
        loop {
            let page = spool.search(&search).await.expect("the spool can be read");
            assert!(page.messages.len() <= limit);
            seen.extend(page.messages.into_iter().map(|summary| summary.id));
            let Some(next) = page.next else { break };
            let text = next.to_string();
            search.cursor = Some(text.parse().expect("a cursor comes back from its text"));
        }
        assert_eq!(seen, expected, "{limit} {status:?}");
    }
}

/// By lane and status, with the oldest that may be sent.
pub async fn counts_follow_the_mail(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let in_lane = |lane: &str| Draft { lane: Some(lane.into()), ..draft(&["b@example.org"]) };
    let sent = send(&spool, &in_lane("bulk"), now).await;
    let doubt = accept_and_lease(&spool, &in_lane("critical"), now).await;
    let until = now + seconds(600);
    try_once(&spool, &doubt, &doubtful(), &Transition::Doubt { until }).await;
    let scheduled = Draft { send_at: Some(until), ..in_lane("bulk") };
    accept(&spool, &scheduled, now - seconds(50)).await;
    let open = accept_and_lease(&spool, &in_lane("bulk"), now - seconds(20)).await;
    spool.begin(&attempt(&open, "alpha")).await.expect("it is recorded");
    accept(&spool, &in_lane("bulk"), now - seconds(10)).await;
    let stats = spool.stats().await.expect("the spool can be read");
    let lane = |name: &str| stats.lanes.iter().find(|lane| lane.lane.as_str() == name);
    let bulk = lane("bulk").expect("the lane is counted");
    let expected =
        [(Status::Scheduled, 1), (Status::Queued, 1), (Status::Sending, 1), (Status::Accepted, 1)];
    assert_eq!(bulk.states, expected.into());
    assert_eq!(bulk.oldest, Some(now - seconds(20)));
    let critical = lane("critical").expect("the lane is counted");
    assert_eq!(critical.states, [(Status::Sending, 1)].into());
    assert_eq!((stats.open_attempts, stats.doubtful_attempts), (1, 1));
    assert_eq!((stats.duplicates_bound(), stats.unfinished()), (2, 4));
    spool.erase(sent).await.expect("it is erased");
    let audit = spool.audit().await.expect("the spool can be read");
    let expected = [(Status::Scheduled, 1), (Status::Queued, 1), (Status::Sending, 2)];
    assert_eq!((audit.states.clone(), audit.gap()), (expected.into(), 0));
}

/// In the message's own list and for those who follow all.
pub async fn events_tell_each_change_once_and_in_order(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let last = spool.last_event();
    assert_eq!(*last.borrow(), 0);
    let delivery = accept_and_lease(&spool, &draft(&["b@example.org"]), now).await;
    let doubt = Transition::Doubt { until: now };
    let attempt = try_once(&spool, &delivery, &doubtful(), &doubt).await;
    spool.amend(attempt.id, &accepted(), &Transition::Accepted).await.expect("it is committed");
    let all = spool.events(0, 100).await.expect("the spool can be read");
    let told: Vec<_> = all.iter().map(|event| (event.status, event.in_doubt)).collect();
    let expected = [(Status::Queued, false), (Status::Sending, true), (Status::Accepted, false)];
    assert_eq!(told, expected);
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(*last.borrow(), all[2].sequence);
    let rest = spool.events(all[0].sequence, 1).await.expect("the spool can be read");
    assert_eq!(rest, all[1..2]);
    let own = record(&spool, delivery.message()).await.events;
    let own: Vec<_> = own.iter().map(|event| (event.status, event.in_doubt)).collect();
    assert_eq!(own, expected);
}
