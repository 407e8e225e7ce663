//! The news of one session, told in order and each once.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Opened,
    Closed,
}

/// A beat and the end of a connection are noticed by different tasks. Telling under this lock
/// keeps an opening from being told after the closing.
#[derive(Debug, Default)]
pub(super) struct News {
    told: Mutex<Told>,
}

impl News {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that it opened, the first time; never after it closed.
    pub(super) fn opened(&self, news: impl FnOnce()) {
        let mut told = self.told();
        if *told == Told::Nothing {
            *told = Told::Opened;
            news();
        }
    }

    /// Tells something while it is open.
    pub(super) fn tell(&self, news: impl FnOnce()) {
        if *self.told() == Told::Opened {
            news();
        }
    }

    /// Tells that it closed, if its opening was told.
    pub(super) fn closed(&self, news: impl FnOnce()) {
        if std::mem::replace(&mut *self.told(), Told::Closed) == Told::Opened {
            news();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_before_the_opening_or_after_the_closing() {
        let (news, mut told) = (News::default(), Vec::new());
        news.tell(|| told.push("too early"));
        news.opened(|| told.push("opened"));
        news.opened(|| told.push("opened twice"));
        news.tell(|| told.push("beat"));
        news.closed(|| told.push("closed"));
        news.closed(|| told.push("closed twice"));
        news.tell(|| told.push("too late"));
        news.opened(|| told.push("opened again"));
        assert_eq!(told, ["opened", "beat", "closed"]);
    }

    #[test]
    fn a_session_that_never_opened_does_not_close() {
        let (news, mut told) = (News::default(), Vec::new());
        news.closed(|| told.push("closed"));
        news.opened(|| told.push("opened"));
        assert!(told.is_empty());
    }
}
