//! The one trait that a way of sending implements.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{Attempt, Capabilities, Email, EmailAddress, ProviderId, SendError};

/// One account at one email service.
///
/// # Contract
///
/// * [`send`](Self::send) makes **one** attempt: no retry, no waiting for a better time. It
///   returns within the attempt's [`timeout`](Attempt::timeout).
/// * The request is a pure function of the email and the attempt's key, so that it is the same
///   each time.
/// * Whatever perhaps went out is [`Failure::InDoubt`](crate::Failure::InDoubt), also where it is
///   unlikely. Only what certainly did not is `Unavailable`.
/// * Dropping the future of `send` leaves no background work behind.
/// * Neither `Debug` nor an error shows a secret, a body, or an address.
#[async_trait]
pub trait EmailProvider: fmt::Debug + Send + Sync + 'static {
    /// The account's name.
    fn id(&self) -> &ProviderId;

    /// The kind of service, as `sendgrid`.
    fn kind(&self) -> &str;

    /// What it can carry at present. Cheap: asked for each message.
    fn capabilities(&self) -> Arc<Capabilities>;

    /// Hands one email over, once.
    ///
    /// # Errors
    ///
    /// [`SendError`], whose [`failure`](SendError::failure) tells whether it was rejected,
    /// certainly not sent, or perhaps sent.
    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError>;

    /// Asks whether an earlier attempt went out. *Can't tell* is the honest default.
    ///
    /// It is about one request, which [`Attempt::idempotency_key`] names: mail for other recipients
    /// of the same message, sent as a delivery of its own, is no evidence, nor is what the provider
    /// answered to an earlier request, before a requeue for example.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the question itself could not be put.
    async fn lookup(&self, attempt: &Attempt) -> Result<Lookup, SendError> {
        let _ = attempt;
        Ok(Lookup::CannotTell)
    }

    /// Proves key and reachability, and sends nothing.
    ///
    /// # Errors
    ///
    /// [`SendError`] with what stands in the way.
    async fn probe(&self) -> Result<(), SendError>;
}

/// What an accepted attempt gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's own id for it.
    pub provider_message_id: String,
    /// Recipients it refused for good, though it took the others.
    pub refused: Vec<EmailAddress>,
    /// Recipients it did not take now, though it took the others.
    pub deferred: Vec<EmailAddress>,
}

impl Receipt {
    /// Every recipient was taken.
    pub fn new(provider_message_id: impl Into<String>) -> Self {
        Self { provider_message_id: provider_message_id.into(), ..Self::default() }
    }
}

/// The answer to a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It went out.
    Found(Receipt),
    /// The provider knows nothing of it: evidence, not proof.
    NotFound,
    /// The provider can't be asked.
    CannotTell,
}
