//! How the program ends: exit codes after sysexits.h, and the words that go with them.

use std::process::ExitCode;

use crate::client::Error;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All of it was done.
    Done,
    /// Some of it was not.
    Failure,
    /// It was asked for in a way that can't be.
    Usage,
    /// The server can't be reached.
    Unavailable,
    /// The server asks to come again later.
    Temporary,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Temporary => 75,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The command was given in a way that can't be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A usage error in these words.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// The exit code an error asks for.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    if error.is::<Usage>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<Error>() {
        Some(Error::Unreachable { .. } | Error::Lost { .. }) => Exit::Unavailable,
        Some(Error::Refused(problem)) if problem.is_busy() => Exit::Temporary,
        Some(Error::Refused(_) | Error::Strange { .. }) | None => Exit::Failure,
    }
}

/// What is shown of an error, one line or several.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(error) => format!("error: {}", error.describe()),
        None => format!("error: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Problem;

    fn refused(status: u16) -> anyhow::Error {
        Error::Refused(Problem::read(status, None, b"")).into()
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let url = || "http://127.0.0.1:8525".to_owned();
        let unreachable = Error::Unreachable { url: url(), reason: "refused".into() };
        let lost = Error::Lost { url: url(), reason: "reset".into() };
        let strange = Error::Strange { url: url(), reason: "html".into() };
        let cases = [
            (usage("no"), 2),
            (unreachable.into(), 69),
            (lost.into(), 69),
            (strange.into(), 1),
            (refused(404), 1),
            (refused(422), 1),
            (refused(429), 75),
            (refused(503), 75),
            (anyhow::anyhow!("can't read mails.jsonl"), 1),
        ];
        for (error, code) in cases {
            assert_eq!(of(&error).code(), code, "{error:?}");
        }
    }

    #[test]
    fn a_context_does_not_hide_what_the_exit_code_is_read_from() {
        let error = refused(503).context("while draining sendgrid-eu");
        assert_eq!(of(&error), Exit::Temporary);
    }
}
