//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

/// A configuration that can't be used. Names the file, line and key where there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    key: String,
    reason: String,
}

impl ConfigError {
    /// `key` is the path within the configuration, as `http.listen`, or a variable's name.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: None, line: None, key: key.into(), reason: reason.into() }
    }

    pub(super) fn at(mut self, file: Option<PathBuf>, line: Option<usize>) -> Self {
        self.file = file;
        self.line = line;
        self
    }

    /// The path within the configuration.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line in the file, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {}
