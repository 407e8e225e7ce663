use std::path::Path;

use shivneri_core::Receipt;

use super::*;
use crate::journal::State;

const BOOT: &str = "this-boot";

fn open(dir: &Path) -> Journal {
    Journal::open(dir.to_owned(), Some(BOOT.into())).unwrap()
}

fn accepted() -> Outcome {
    Outcome::Accepted(Receipt::new("x"))
}

async fn words(journal: &Journal) -> Vec<(AttemptId, &'static str)> {
    let mut all: Vec<_> = journal
        .unacknowledged()
        .await
        .unwrap()
        .into_iter()
        .map(|(id, outcome)| (id, outcome.word()))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn what_was_begun_and_what_ended_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let [running, ended, settled] = [AttemptId::new(), AttemptId::new(), AttemptId::new()];
    let name = {
        let journal = open(dir.path());
        let snapshot = journal.next_session().await.unwrap();
        for id in [running, ended, settled] {
            journal.start(snapshot.session, id, id == ended).await.unwrap();
        }
        journal.end(ended, accepted()).await.unwrap();
        journal.end(settled, accepted()).await.unwrap();
        journal.acknowledged(settled, true).await.unwrap();
        snapshot.journal
    };
    let journal = open(dir.path());
    assert_eq!(words(&journal).await, [(running, "in_doubt"), (ended, "accepted")]);
    assert_eq!(journal.next_session().await.unwrap().journal, name, "same boot, same name");
}

#[tokio::test]
async fn nothing_starts_once_its_session_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let old = journal.next_session().await.unwrap().session;
    let new = journal.next_session().await.unwrap();
    let late = journal.start(old, AttemptId::new(), false).await;
    assert!(matches!(late, Err(StartError::SessionOver)));
    assert!(new.entries.is_empty());
}

#[tokio::test]
async fn an_attempt_starts_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let session = journal.next_session().await.unwrap().session;
    let id = AttemptId::new();
    journal.start(session, id, false).await.unwrap();
    let again = journal.start(session, id, false).await;
    assert!(matches!(again, Err(StartError::BegunBefore)));
}

#[tokio::test]
async fn a_reboot_gives_the_journal_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let id = AttemptId::new();
    let before = {
        let journal = open(dir.path());
        let snapshot = journal.next_session().await.unwrap();
        journal.start(snapshot.session, id, false).await.unwrap();
        snapshot.journal
    };
    for boot in [Some("another-boot".to_owned()), None] {
        let journal = Journal::open(dir.path().to_owned(), boot).unwrap();
        let snapshot = journal.next_session().await.unwrap();
        assert_ne!(snapshot.journal, before);
        assert_eq!(snapshot.entries, [(id, State::Ended)], "what it knows, it still reports");
    }
}

#[tokio::test]
async fn other_server_data_gives_the_journal_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let name = |snapshot: Snapshot| (snapshot.journal, snapshot.incarnation);
    let (first, none) = name(journal.next_session().await.unwrap());
    assert_eq!(none, None);
    let [one, two] = [Uuid::new_v4(), Uuid::new_v4()];
    assert!(!journal.belong(one).await.unwrap(), "nothing was offered before");
    assert!(!journal.belong(one).await.unwrap());
    assert_eq!(name(journal.next_session().await.unwrap()), (first, Some(one)));
    assert!(journal.belong(two).await.unwrap());
    let (second, of) = name(journal.next_session().await.unwrap());
    assert_eq!(of, Some(two));
    assert_ne!(second, first);
}

#[tokio::test]
async fn a_second_owner_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let error = Journal::open(dir.path().to_owned(), None).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn damage_is_set_aside_and_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let id = AttemptId::new();
    let before = {
        let journal = open(dir.path());
        let snapshot = journal.next_session().await.unwrap();
        journal.start(snapshot.session, id, false).await.unwrap();
        journal.start(snapshot.session, AttemptId::new(), false).await.unwrap();
        snapshot.journal
    };
    let path = dir.path().join("journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let journal = open(dir.path());
    let snapshot = journal.next_session().await.unwrap();
    assert_ne!(snapshot.journal, before);
    assert_eq!(snapshot.entries, [(id, State::Ended)]);
    let aside = std::fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
    let damaged = |name: &str| name.starts_with("journal.damaged-");
    assert_eq!(aside.filter(|f| damaged(&f.file_name().to_string_lossy())).count(), 1);
}

#[tokio::test]
async fn a_journal_of_settled_attempts_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let session = journal.next_session().await.unwrap().session;
    let open_one = AttemptId::new();
    journal.start(session, open_one, false).await.unwrap();
    let long = Outcome::Accepted(Receipt::new("x".repeat(400)));
    for _ in 0..200 {
        let ids: Vec<AttemptId> = (0..100).map(|_| AttemptId::new()).collect();
        let starts = ids.iter().map(|id| journal.end(*id, long.clone()));
        futures_util::future::try_join_all(starts).await.unwrap();
        for id in ids {
            journal.acknowledged(id, true).await.unwrap();
        }
    }
    let snapshot = journal.next_session().await.unwrap();
    assert_eq!(snapshot.entries, [(open_one, State::Started)]);
    let size = std::fs::metadata(dir.path().join("journal")).unwrap().len();
    assert!(size < 5 << 20, "{size} bytes; all records would take over 8 MiB");
    drop(journal);
    assert_eq!(words(&open(dir.path())).await, [(open_one, "in_doubt")]);
}
