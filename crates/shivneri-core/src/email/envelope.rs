//! The envelope: who gets the mail, whatever its headers say.

use super::EmailAddress;

/// Sender and recipients as SMTP sees them (RFC 5321 section 2.3.1). Never without a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    sender: EmailAddress,
    recipients: Vec<EmailAddress>,
}

/// An envelope needs at least one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope has no recipient")]
pub struct EmptyEnvelope;

impl Envelope {
    /// An envelope for these recipients; one that comes twice counts once.
    ///
    /// # Errors
    ///
    /// [`EmptyEnvelope`] without any recipient.
    pub fn new(sender: EmailAddress, recipients: Vec<EmailAddress>) -> Result<Self, EmptyEnvelope> {
        let mut once: Vec<EmailAddress> = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            if !once.iter().any(|seen| seen.same_mailbox(&recipient)) {
                once.push(recipient);
            }
        }
        if once.is_empty() { Err(EmptyEnvelope) } else { Ok(Self { sender, recipients: once }) }
    }

    /// Where bounces go (`MAIL FROM`).
    pub fn sender(&self) -> &EmailAddress {
        &self.sender
    }

    /// Who gets the mail (`RCPT TO`), each once, at least one.
    pub fn recipients(&self) -> &[EmailAddress] {
        &self.recipients
    }

    /// Whether this mailbox is among the recipients.
    pub fn includes(&self, address: &EmailAddress) -> bool {
        self.recipients.iter().any(|recipient| recipient.same_mailbox(address))
    }
}
