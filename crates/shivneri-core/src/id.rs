//! Identifiers: names that people choose, and UUIDs that Shivneri gives.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that is not 1 to 64 characters of `A-Z a-z 0-9 . _ -`, or begins with a dot or dash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")]
pub struct NameError {
    name: String,
}

fn checked(name: &str) -> Result<String, NameError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if fits {
        Ok(name.to_owned())
    } else {
        Err(NameError { name: name.chars().take(80).collect() })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $ident:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $ident(std::sync::Arc<str>);

        impl $ident {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $ident {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Ok(Self(checked(name)?.into()))
            }
        }

        impl TryFrom<String> for $ident {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$ident> for String {
            fn from(name: $ident) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $ident {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $ident {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// Names a provider account, as `sendgrid-eu`.
    ProviderId
);
name!(
    /// Names an agent and its identity, as `mailgun-1`.
    AgentId
);
name!(
    /// Names a lane, as `critical`.
    LaneName
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $ident:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $ident(Uuid);

        impl $ident {
            /// A new one, a UUID of version 7: later ones sort after earlier ones.
            #[allow(clippy::new_without_default, reason = "each call gives another value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Wraps a UUID that was given out before.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl FromStr for $ident {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Ok(Self(text.parse()?))
            }
        }

        impl fmt::Display for $ident {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $ident {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// Identifies an accepted message.
    MessageId
);
uuid_id!(
    /// Identifies a delivery: a message with a set of its recipients.
    DeliveryId
);
uuid_id!(
    /// Identifies an attempt: one call of a provider for one delivery.
    AttemptId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_a_log_or_a_path_are_refused() {
        for bad in ["", ".", "-a", "a b", "a/b", "ü", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ProviderId>().is_err(), "{bad:?}");
        }
        assert_eq!("sendgrid-eu".parse::<ProviderId>().unwrap().as_str(), "sendgrid-eu");
    }

    #[test]
    fn a_later_message_id_sorts_after_an_earlier_one() {
        let earlier = MessageId::new();
        let later = MessageId::new();
        assert!(earlier < later);
    }
}
