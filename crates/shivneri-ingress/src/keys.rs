//! Making API keys.

use std::time::SystemTime;

use shivneri_spool::{ApiKey, Register, Spool, SpoolError};

use crate::{Scope, submission::ANONYMOUS, token};

/// A key that was made. The secret is shown once and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its id, which is no secret.
    pub id: String,
    /// The secret: `shk_` and 256 random bits.
    pub secret: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).field("secret", &"***").finish()
    }
}

/// A key could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is not 1 to 64 characters without control characters, or is `anonymous`.
    #[error("{0:?} can't name a key: 1 to 64 characters, no control characters, not `anonymous`")]
    Name(String),
    /// It would allow nothing.
    #[error("key {0:?} has no scope; there are send, read, admin")]
    NoScope(String),
    /// The secret is empty.
    #[error("the secret of key {0:?} is empty")]
    EmptySecret(String),
    /// It could not be kept.
    #[error("key {name:?} could not be kept")]
    Spool {
        /// The key's name.
        name: String,
        /// Why not.
        #[source]
        source: SpoolError,
    },
}

/// What keys from wherever they come have in common.
pub(crate) fn check(name: &str, scopes: &[Scope]) -> Result<(), KeyError> {
    let named = (1..=64).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name != ANONYMOUS;
    if !named {
        return Err(KeyError::Name(name.chars().take(80).collect()));
    }
    if scopes.is_empty() { Err(KeyError::NoScope(name.to_owned())) } else { Ok(()) }
}

/// Makes an API key and keeps its digest. Several keys may have one name: they share what the
/// name owns, so that one can take the place of another.
///
/// A server that runs sees it after [`Access::refresh`](crate::Access::refresh).
///
/// # Errors
///
/// [`KeyError`] where the name or the scopes don't do, or it could not be kept.
pub async fn create(spool: &dyn Spool, name: &str, scopes: &[Scope]) -> Result<NewKey, KeyError> {
    check(name, scopes)?;
    let secret = token::generate("shk_");
    let id = format!("key_{}", uuid::Uuid::new_v4().simple());
    let mut words: Vec<_> = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    words.sort_unstable();
    words.dedup();
    let key = ApiKey {
        id: id.clone(),
        name: name.to_owned(),
        secret_sha256: token::digest_of(secret.as_bytes()),
        scopes: words,
        domains: None,
        created_at: SystemTime::now(),
    };
    let failed = |source| KeyError::Spool { name: name.to_owned(), source };
    spool.put_key(&key).await.map_err(failed)?;
    Ok(NewKey { id, secret })
}
