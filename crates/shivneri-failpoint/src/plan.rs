//! What is to happen where.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

/// The one place that matters, and how often it was reached.
#[derive(Debug)]
pub(crate) struct Plan {
    name: String,
    wanted: u64,
    /// Nothing counts until this file is there.
    armed: Option<PathBuf>,
    hits: AtomicU64,
}

impl Plan {
    /// From `name` or `name:hit`. A test that asks for what can't be read is to stop at once.
    pub(crate) fn read(text: &str, armed: Option<PathBuf>) -> Self {
        let (name, wanted) = match text.split_once(':') {
            Some((name, count)) => (name, count.parse().expect("the hit is a number from 1")),
            None => (text, 1),
        };
        Self { name: name.to_owned(), wanted, armed, hits: AtomicU64::new(0) }
    }

    /// Counts a hit; whether it is the one.
    pub(crate) fn reached(&self, name: &str) -> bool {
        self.count(name) == Some(self.wanted)
    }

    /// Counts a hit; whether it is the one or comes after it.
    pub(crate) fn lasts(&self, name: &str) -> bool {
        self.count(name).is_some_and(|hit| hit >= self.wanted)
    }

    /// Which hit this is, where it counts.
    fn count(&self, name: &str) -> Option<u64> {
        let counts = name == self.name && self.armed.as_ref().is_none_or(|file| file.exists());
        counts.then(|| self.hits.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hit_that_was_asked_for_counts() {
        let plan = Plan::read("accept.written:2", None);
        let hits = ["accept.written", "other", "accept.written", "accept.written"];
        assert_eq!(hits.map(|name| plan.reached(name)), [false, false, true, false]);
        assert!(Plan::read("a", None).reached("a"));
    }

    #[test]
    fn what_lasts_lasts_from_its_hit_for_as_long_as_the_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("armed");
        let plan = Plan::read("disk.sync:2", Some(file.clone()));
        std::fs::write(&file, "").unwrap();
        assert_eq!([(); 3].map(|()| plan.lasts("disk.sync")), [false, true, true]);
        assert!(!plan.lasts("other"));
        std::fs::remove_file(&file).unwrap();
        assert!(!plan.lasts("disk.sync"));
    }

    #[test]
    fn nothing_counts_before_the_file_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("armed");
        let plan = Plan::read("a", Some(file.clone()));
        assert!(!plan.reached("a"));
        std::fs::write(&file, "").unwrap();
        assert!(plan.reached("a"));
    }
}
