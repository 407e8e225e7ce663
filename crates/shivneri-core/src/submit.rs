//! The one way by which mail comes in, whatever door it came through.

use async_trait::async_trait;

use crate::{
    MessageId,
    draft::{Draft, FieldError},
};

/// Takes a message: validates it, makes it durable, and gives its id.
///
/// # Contract
///
/// * Returns only once the message would survive a crash.
/// * A refused draft leaves nothing behind.
#[async_trait]
pub trait Submit: std::fmt::Debug + Send + Sync + 'static {
    /// Takes one message.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was kept then.
    async fn submit(&self, draft: Draft, door: Door) -> Result<Submitted, SubmitError>;
}

/// The door a message came through, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// The HTTP API and the compose page.
    Http,
}

impl Door {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
        }
    }
}

/// A message was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub id: MessageId,
    /// Its status now: `queued` or `scheduled`.
    pub status: &'static str,
}

/// A message was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// Some fields are not valid.
    #[error("{} of the message's fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// The queue takes nothing now; try again after this many seconds.
    #[error("mail can't be taken now: {reason}")]
    Unavailable {
        /// Why, for people.
        reason: String,
        /// Seconds after which another try makes sense.
        retry_after: u64,
    },
}
