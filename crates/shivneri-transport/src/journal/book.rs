//! The journal's contents in memory: a pure fold over its records.

use std::collections::HashMap;

use shivneri_core::{AttemptId, Cause, Doubt, Failure, Outcome, SendError};
use uuid::Uuid;

use super::record::{Record, Title};

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Begun, and not known to have ended.
    Started,
    /// Ended, and not yet acknowledged.
    Ended,
    /// Ended and acknowledged, but to be listed further.
    Kept,
}

#[derive(Clone, Debug)]
enum Entry {
    Started,
    Ended(Outcome),
    Kept,
}

/// What a session begins with.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Only attempts of the session with this key may be started.
    pub(crate) session: u64,
    pub(crate) journal: Uuid,
    pub(crate) boot: String,
    pub(crate) incarnation: Option<Uuid>,
    pub(crate) entries: Vec<(AttemptId, State)>,
}

#[derive(Debug)]
pub(super) struct Book {
    title: Option<Title>,
    entries: HashMap<AttemptId, Entry>,
    ended: usize,
    session: u64,
}

impl Book {
    pub(super) fn replay(records: Vec<Record>) -> Self {
        let mut book = Self { title: None, entries: HashMap::new(), ended: 0, session: 0 };
        for record in records {
            book.apply(record);
        }
        book
    }

    /// Takes a record, in the order in which they stand in the file.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Title(title) => self.title = Some(title),
            Record::Started(id) if self.knows(&id) => {}
            Record::Started(id) => self.set(id, Some(Entry::Started)),
            Record::Ended(id, outcome) => self.set(id, Some(Entry::Ended(outcome))),
            Record::Kept(id) => self.set(id, Some(Entry::Kept)),
            Record::Forgotten(id) => self.set(id, None),
        }
    }

    fn set(&mut self, id: AttemptId, entry: Option<Entry>) {
        let ended = |entry: &Option<Entry>| usize::from(matches!(entry, Some(Entry::Ended(_))));
        self.ended += ended(&entry);
        let before = match entry {
            Some(entry) => self.entries.insert(id, entry),
            None => self.entries.remove(&id),
        };
        self.ended -= ended(&before);
    }

    pub(super) fn title(&self) -> Option<&Title> {
        self.title.as_ref()
    }

    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// Ends the session, so that nothing offered in it can be started any more, and begins the
    /// next.
    pub(super) fn next_session(&mut self) -> Snapshot {
        self.session += 1;
        let title = self.title.clone().expect("a journal is given its title when it is opened");
        let state = |entry: &Entry| match entry {
            Entry::Started => State::Started,
            Entry::Ended(_) => State::Ended,
            Entry::Kept => State::Kept,
        };
        Snapshot {
            session: self.session,
            journal: title.journal,
            boot: title.boot,
            incarnation: title.incarnation,
            entries: self.entries.iter().map(|(id, entry)| (*id, state(entry))).collect(),
        }
    }

    /// Whether this attempt was begun before.
    pub(super) fn knows(&self, id: &AttemptId) -> bool {
        self.entries.contains_key(id)
    }

    /// What an acknowledgement writes, if it changes anything. An attempt that is still running
    /// can't have been acknowledged.
    pub(super) fn acknowledged(&self, id: AttemptId, forget: bool) -> Option<Record> {
        match self.entries.get(&id)? {
            Entry::Started => None,
            Entry::Ended(_) | Entry::Kept if forget => Some(Record::Forgotten(id)),
            Entry::Ended(_) => Some(Record::Kept(id)),
            Entry::Kept => None,
        }
    }

    /// The outcomes that no acknowledgement has come for.
    pub(super) fn unacknowledged(&self) -> Vec<(AttemptId, Outcome)> {
        let ended = |(id, entry): (&AttemptId, &Entry)| match entry {
            Entry::Ended(outcome) => Some((*id, outcome.clone())),
            Entry::Started | Entry::Kept => None,
        };
        self.entries.iter().filter_map(ended).collect()
    }

    /// How many of those there are.
    pub(super) fn unacknowledged_count(&self) -> usize {
        self.ended
    }

    /// What a new process writes about attempts that the one before it left running: perhaps
    /// sent.
    pub(super) fn orphans(&self) -> Vec<Record> {
        let orphan = |(id, entry): (&AttemptId, &Entry)| {
            let error = SendError::new(
                Failure::InDoubt(Doubt::Strong),
                "the agent died after it had begun this attempt",
            );
            matches!(entry, Entry::Started)
                .then(|| Record::Ended(*id, Outcome::Failed(error.caused_by(Cause::Agent))))
        };
        self.entries.iter().filter_map(orphan).collect()
    }

    /// The shortest list of records with the same meaning.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.title.clone().map(Record::Title).into_iter().collect();
        for (id, entry) in &self.entries {
            records.push(match entry {
                Entry::Started => Record::Started(*id),
                Entry::Ended(outcome) => Record::Ended(*id, outcome.clone()),
                Entry::Kept => Record::Kept(*id),
            });
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shivneri_core::Receipt;

    use super::*;

    fn id(number: u128) -> AttemptId {
        AttemptId::from_uuid(Uuid::from_u128(number))
    }

    fn title() -> Record {
        let journal = Uuid::from_u128(1);
        Record::Title(Title { journal, boot: "boot".into(), incarnation: None })
    }

    fn accepted(number: u128) -> Record {
        Record::Ended(id(number), Outcome::Accepted(Receipt::new("x")))
    }

    fn states(book: &mut Book) -> Vec<(AttemptId, State)> {
        let mut states = book.next_session().entries;
        states.sort_by_key(|(id, _)| *id);
        states
    }

    #[test]
    fn an_attempt_goes_from_started_to_ended_to_forgotten() {
        let mut book = Book::replay(vec![title(), Record::Started(id(1))]);
        assert_eq!(states(&mut book), [(id(1), State::Started)]);
        assert!(book.acknowledged(id(1), true).is_none(), "it is still running");
        book.apply(accepted(1));
        assert_eq!(states(&mut book), [(id(1), State::Ended)]);
        assert_eq!(book.unacknowledged_count(), 1);
        book.apply(book.acknowledged(id(1), true).unwrap());
        assert_eq!(states(&mut book), []);
    }

    #[test]
    fn a_doubtful_outcome_is_kept_until_it_may_be_forgotten() {
        let mut book = Book::replay(vec![title(), Record::Started(id(1)), accepted(1)]);
        book.apply(book.acknowledged(id(1), false).unwrap());
        assert_eq!(states(&mut book), [(id(1), State::Kept)]);
        assert_eq!(book.unacknowledged_count(), 0);
        assert!(book.acknowledged(id(1), false).is_none());
        book.apply(book.acknowledged(id(1), true).unwrap());
        assert_eq!(states(&mut book), []);
    }

    #[test]
    fn what_the_dead_process_had_begun_is_in_doubt() {
        let mut book = Book::replay(vec![title(), Record::Started(id(1)), accepted(2)]);
        for orphan in book.orphans() {
            book.apply(orphan);
        }
        let mut words: Vec<_> =
            book.unacknowledged().into_iter().map(|(id, o)| (id, o.word())).collect();
        words.sort();
        assert_eq!(words, [(id(1), "in_doubt"), (id(2), "accepted")]);
    }

    proptest! {
        #[test]
        fn a_compacted_journal_means_the_same(
            steps in prop::collection::vec((0..4_u8, 0..6_u128), 0..40),
        ) {
            let mut book = Book::replay(vec![title()]);
            for (kind, number) in steps {
                book.apply(match kind {
                    0 => Record::Started(id(number)),
                    1 => accepted(number),
                    2 => Record::Kept(id(number)),
                    _ => Record::Forgotten(id(number)),
                });
            }
            let mut again = Book::replay(book.records());
            prop_assert_eq!(states(&mut again), states(&mut book));
            prop_assert_eq!(again.title(), book.title());
        }
    }
}
