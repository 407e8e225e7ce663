//! What an email is, checked once at the door so that no later code has to doubt it.

mod address;
mod attachment;
mod builder;
mod envelope;
mod header;

use std::{collections::BTreeMap, time::SystemTime};

pub use address::{AddressError, EmailAddress, Mailbox};
pub use attachment::{Attachment, AttachmentError};
pub use builder::{EmailBuilder, EmailError};
pub use envelope::{EmptyEnvelope, Envelope};
pub use header::{Header, HeaderError};

use crate::MessageId;

/// One email, immutable: fields, frozen identity, and the envelope.
///
/// `Message-ID` and `Date` are fixed when it is built, so that the request a provider makes of
/// it is the same each time.
///
/// Cloning copies the fields; attachments' contents are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    id: MessageId,
    date: SystemTime,
    from: Mailbox,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    reply_to: Vec<Mailbox>,
    subject: String,
    text: Option<String>,
    html: Option<String>,
    headers: Vec<Header>,
    attachments: Vec<Attachment>,
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
    envelope: Envelope,
}

impl Email {
    /// The message's id at Shivneri.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The `Message-ID` header's value with its angle brackets (RFC 5322 section 3.6.4), the
    /// same each time.
    pub fn message_id_header(&self) -> String {
        format!("<{}@{}>", self.id, self.from.address().domain())
    }

    /// The `Date` header's time, the same each time.
    pub fn date(&self) -> SystemTime {
        self.date
    }

    /// The author.
    pub fn from(&self) -> &Mailbox {
        &self.from
    }

    /// The primary recipients, as the header shows them.
    pub fn to(&self) -> &[Mailbox] {
        &self.to
    }

    /// The copied recipients, as the header shows them.
    pub fn cc(&self) -> &[Mailbox] {
        &self.cc
    }

    /// The recipients that no header shows.
    pub fn bcc(&self) -> &[Mailbox] {
        &self.bcc
    }

    /// Where answers go instead of to the author.
    pub fn reply_to(&self) -> &[Mailbox] {
        &self.reply_to
    }

    /// The subject, one line, perhaps empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The plain-text body.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The HTML body.
    pub fn html(&self) -> Option<&str> {
        self.html.as_deref()
    }

    /// The custom headers, in the order given.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Attachments and inline parts.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// Words the application files the message under; passed to providers that know tags.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The application's own key-value pairs.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Who gets it.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The size in bytes that it will have at most as MIME: attachments as base64, bodies and
    /// headers as they are, and 512 bytes a part for what surrounds them.
    pub fn size(&self) -> u64 {
        let len = |part: &Option<String>| part.as_ref().map_or(0, |text| text.len() as u64 + 512);
        let mailboxes = [&self.to, &self.cc, &self.bcc, &self.reply_to];
        let addresses: u64 = mailboxes.iter().flat_map(|list| list.iter()).map(|_| 96).sum();
        let headers: usize =
            self.headers.iter().map(|h| h.name().len() + h.value().len() + 4).sum();
        let files: u64 = self
            .attachments
            .iter()
            .map(|file| (file.content().len() as u64).div_ceil(57) * 78 + 512)
            .sum();
        512 + self.subject.len() as u64
            + len(&self.text)
            + len(&self.html)
            + addresses
            + headers as u64
            + files
    }

    /// Whether the headers show an address that the envelope leaves out, so that only a provider
    /// which takes recipients apart from headers can carry it.
    pub fn needs_envelope(&self) -> bool {
        self.to.iter().chain(&self.cc).any(|shown| !self.envelope.includes(shown.address()))
    }

    /// Whether some address can only be carried with SMTPUTF8 (RFC 6531).
    pub fn needs_smtputf8(&self) -> bool {
        self.from.address().needs_smtputf8()
            || self.envelope.recipients().iter().any(EmailAddress::needs_smtputf8)
    }

    /// The same email to some of its recipients only; the headers go on showing all.
    ///
    /// # Errors
    ///
    /// [`EmptyEnvelope`] where none of them is left.
    pub fn only_to(&self, recipients: &[EmailAddress]) -> Result<Self, EmptyEnvelope> {
        let kept = self.envelope.recipients().iter().filter(|r| recipients.contains(r)).cloned();
        let envelope = Envelope::new(self.envelope.sender().clone(), kept.collect())?;
        Ok(Self { envelope, ..self.clone() })
    }

    /// The same email without these recipients, who leave the headers as well.
    ///
    /// # Errors
    ///
    /// [`EmptyEnvelope`] where no recipient is left.
    pub fn without(&self, refused: &[EmailAddress]) -> Result<Self, EmptyEnvelope> {
        let gone = |address: &EmailAddress| refused.iter().any(|one| one.same_mailbox(address));
        let kept = self.envelope.recipients().iter().filter(|r| !gone(r)).cloned().collect();
        let mut email = self.clone();
        email.envelope = Envelope::new(self.envelope.sender().clone(), kept)?;
        for list in [&mut email.to, &mut email.cc, &mut email.bcc] {
            list.retain(|mailbox| !gone(mailbox.address()));
        }
        Ok(email)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        builder::{time_of, whole_seconds},
        *,
    };

    fn draft() -> EmailBuilder {
        Email::builder("a@example.com".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .text("hi")
    }

    #[test]
    fn an_email_keeps_its_identity_however_often_it_is_asked() {
        let email = draft().build().unwrap();
        assert_eq!(email.message_id_header(), email.clone().message_id_header());
        assert!(email.message_id_header().ends_with("@example.com>"));
        assert_eq!(email.date(), whole_seconds(time_of(email.id())));
    }

    #[test]
    fn each_missing_or_broken_field_is_named() {
        let from = || Email::builder("a@example.com".parse().unwrap());
        assert_eq!(from().text("x").build(), Err(EmailError::NoRecipient));
        assert_eq!(from().to("b@c".parse().unwrap()).build(), Err(EmailError::NoContent));
        let control = |field| Err(EmailError::Control { field });
        assert_eq!(draft().subject("a\r\nBcc: x@y").build(), control("subject"));
        assert_eq!(draft().tag("a\nb").build(), control("tags"));
        assert_eq!(draft().metadata("k", "a\0").build(), control("metadata"));
        assert_eq!(draft().html("a\0").build(), Err(EmailError::Nul { field: "html" }));
    }

    #[test]
    fn a_recipient_named_twice_is_in_the_envelope_once() {
        let email = draft().bcc("b@EXAMPLE.org".parse().unwrap()).build().unwrap();
        assert_eq!(email.envelope().recipients().len(), 1);
    }

    #[test]
    fn refused_recipients_leave_headers_and_envelope() {
        let email = draft().cc("c@example.org".parse().unwrap()).build().unwrap();
        let refused = ["c@example.org".parse().unwrap()];
        let rest = email.without(&refused).unwrap();
        assert!(rest.cc().is_empty() && !rest.needs_envelope());
        assert_eq!(email.without(&["b@example.org".parse().unwrap()]).unwrap().to().len(), 0);
        assert!(rest.without(&["b@example.org".parse().unwrap()]).is_err());
    }

    #[test]
    fn a_part_of_the_recipients_needs_an_envelope_of_its_own() {
        let email = draft().cc("c@example.org".parse().unwrap()).build().unwrap();
        let part = email.only_to(&["c@example.org".parse().unwrap()]).unwrap();
        assert!(part.needs_envelope());
        assert_eq!(part.to().len(), 1);
    }
}
