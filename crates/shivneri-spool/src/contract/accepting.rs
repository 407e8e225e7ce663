//! Claims about taking mail in.

use std::sync::Arc;

use shivneri_core::{OnDoubt, draft::Draft};

use super::{Subject, fixture::*};
use crate::{Acceptance, SpoolError, Status};

/// All that was accepted comes back, and nothing has happened to it yet.
pub async fn an_accepted_message_is_there_with_all_its_fields(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let draft = Draft {
        html: Some("<p>It is attached.</p>".into()),
        cc: vec!["c@example.org".into()],
        tags: vec!["invoice".into(), "paid".into()],
        metadata: [("order".to_owned(), "42".to_owned())].into(),
        on_doubt: Some(OnDoubt::Hold),
        providers: Some(vec!["alpha".into(), "beta".into()]),
        ..draft(&["b@example.org"])
    };
    let incoming = incoming(&draft, now);
    let email = incoming.message.email.clone();
    let acceptance = spool.accept(incoming).await.expect("it is accepted");
    assert_eq!(acceptance, Acceptance::New { id: email.id(), status: Status::Queued });
    let record = record(&spool, email.id()).await;
    assert_eq!(record.email.as_deref(), Some(&email));
    assert_eq!((record.on_doubt, record.send_at), (OnDoubt::Hold, None));
    let providers: Vec<_> = record.providers.iter().flatten().map(|id| id.as_str()).collect();
    assert_eq!(providers, ["alpha", "beta"]);
    let summary = &record.summary;
    assert_eq!((summary.status, summary.in_doubt), (Status::Queued, false));
    assert_eq!(summary.from, "Asha <asha@example.com>");
    assert_eq!(summary.recipients, ["b@example.org", "c@example.org"]);
    assert_eq!((summary.subject.as_str(), summary.door.as_str()), ("Your invoice", "http"));
    assert_eq!(summary.tags, ["invoice", "paid"]);
    assert_eq!((summary.accepted_at, summary.owner.as_str()), (now, "anonymous"));
    let recipients: Vec<_> = record.recipients.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(recipients, ["b@example.org", "c@example.org"]);
    assert!(record.attempts.is_empty() && record.waiting.is_none());
    assert_eq!(record.events.len(), 1);
    assert_whole(&spool).await;
}

/// The error says which lane.
pub async fn a_message_in_an_unknown_lane_is_refused_by_name(subject: &dyn Subject) {
    let spool = subject.open().await;
    let draft = Draft { lane: Some("express".into()), ..draft(&["b@example.org"]) };
    match spool.accept(incoming(&draft, now())).await {
        Err(SpoolError::UnknownLane(lane)) => assert_eq!(lane.as_str(), "express"),
        other => panic!("{other:?}"),
    }
    assert_eq!(spool.audit().await.expect("it can be read").accepted, 0);
}

/// Same key and body: the first id. Same key, other body: a conflict, and nothing is added.
pub async fn a_key_sent_again_gives_the_first_id_and_with_another_body_conflicts(
    subject: &dyn Subject,
) {
    let (spool, now) = (subject.open().await, now());
    let draft = draft(&["b@example.org"]);
    let first = spool.accept(keyed(&draft, now, "order-42", 1)).await.expect("it is accepted");
    let Acceptance::New { id, status } = first else { panic!("{first:?}") };
    let again = spool.accept(keyed(&draft, now, "order-42", 1)).await.expect("it is answered");
    assert_eq!(again, Acceptance::Replayed { id, status });
    let other = spool.accept(keyed(&draft, now, "order-42", 2)).await.expect("it is answered");
    assert_eq!(other, Acceptance::Conflict);
    assert_eq!(spool.audit().await.expect("it can be read").accepted, 1);
}

/// However concurrent, one is new and all others are told its id.
pub async fn sixty_four_clients_with_one_key_make_one_message(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let draft = draft(&["b@example.org"]);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (spool, incoming) = (Arc::clone(&spool), keyed(&draft, now, "k", 1));
        clients.spawn(async move { spool.accept(incoming).await });
    }
    let (mut new, mut replayed) = (Vec::new(), Vec::new());
    while let Some(answer) = clients.join_next().await {
        match answer.expect("the client ends").expect("it is answered") {
            Acceptance::New { id, .. } => new.push(id),
            Acceptance::Replayed { id, .. } => replayed.push(id),
            Acceptance::Conflict => panic!("the bodies were the same"),
        }
    }
    assert_eq!((new.len(), replayed.len()), (1, 63));
    assert!(replayed.iter().all(|id| *id == new[0]));
    assert_eq!(spool.audit().await.expect("it can be read").accepted, 1);
}

/// Another owner's key is another key, and after a day it is free again.
pub async fn a_key_counts_for_its_owner_and_for_a_day(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let draft = draft(&["b@example.org"]);
    let is_new = |answer| matches!(answer, Ok(Acceptance::New { .. }));
    assert!(is_new(spool.accept(keyed(&draft, now, "k", 1)).await));
    let mut of_other = keyed(&draft, now, "k", 2);
    of_other.owner = "shop".into();
    assert!(is_new(spool.accept(of_other).await));
    let before = spool.accept(keyed(&draft, now + seconds(86_399), "k", 1)).await;
    assert!(matches!(before, Ok(Acceptance::Replayed { .. })), "{before:?}");
    assert!(is_new(spool.accept(keyed(&draft, now + seconds(86_400), "k", 2)).await));
}

/// A message whose id is there already is refused, and the first one stays.
pub async fn an_id_is_taken_once(subject: &dyn Subject) {
    let (spool, now) = (subject.open().await, now());
    let first = incoming(&draft(&["b@example.org"]), now);
    let id = first.message.email.id();
    spool.accept(first.clone()).await.expect("it is accepted");
    assert!(spool.accept(first).await.is_err());
    assert_eq!(status(&spool, id).await, Status::Queued);
    assert_whole(&spool).await;
}
