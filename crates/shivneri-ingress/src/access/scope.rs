//! What a key allows.

use std::{fmt, str::FromStr};

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Handing over mail.
    Send,
    /// Seeing messages, providers and counts.
    Read,
    /// Changing providers and agents; seeing too.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Send, Self::Read, Self::Admin];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// Whether who has this may do the other.
    pub const fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Send, Self::Send)
            | (Self::Read | Self::Admin, Self::Read)
            | (Self::Admin, Self::Admin) => true,
            (Self::Send, Self::Read | Self::Admin)
            | (Self::Read, Self::Send | Self::Admin)
            | (Self::Admin, Self::Send) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a scope; there are send, read, admin")]
pub struct ScopeError {
    word: String,
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(word: &str) -> Result<Self, ScopeError> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        found.ok_or_else(|| ScopeError { word: word.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_read_and_nobody_else_may_do_more_than_their_word() {
        for own in Scope::ALL {
            for other in Scope::ALL {
                let expected = own == other || (own == Scope::Admin && other == Scope::Read);
                assert_eq!(own.includes(other), expected, "{own} {other}");
            }
            assert_eq!(own.as_str().parse(), Ok(own));
        }
        assert!("write".parse::<Scope>().is_err());
    }
}
