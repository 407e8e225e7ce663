//! What an email is, checked once at the door so that no later code has to doubt it.

mod address;
mod attachment;
mod envelope;
mod header;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

pub use address::{AddressError, EmailAddress, Mailbox};
pub use attachment::{Attachment, AttachmentError};
pub use envelope::{EmptyEnvelope, Envelope};
pub use header::{Header, HeaderError};

use crate::MessageId;

/// Why an email could not be built. Each names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmailError {
    /// Neither to, cc nor bcc has an address.
    #[error("to, cc and bcc are all empty")]
    NoRecipient,
    /// Neither text nor html is there.
    #[error("text and html are both missing")]
    NoContent,
    /// A CR, LF, NUL or another control character in a field of one line.
    #[error("{field} holds a control character")]
    Control {
        /// The field, as `subject`.
        field: &'static str,
    },
    /// A NUL in the text or HTML body.
    #[error("{field} holds a NUL character")]
    Nul {
        /// The field, as `text`.
        field: &'static str,
    },
}

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
    /// Begins an email from this author.
    pub fn builder(from: Mailbox) -> EmailBuilder {
        EmailBuilder {
            id: None,
            date: None,
            from,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: String::new(),
            text: None,
            html: None,
            headers: Vec::new(),
            attachments: Vec::new(),
            tags: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

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

/// Collects an [`Email`]'s fields; [`build`](Self::build) checks them together.
#[derive(Clone, Debug)]
pub struct EmailBuilder {
    id: Option<MessageId>,
    date: Option<SystemTime>,
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
}

impl EmailBuilder {
    /// Gives it an id that was made before; without one it gets a new one.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Fixes the `Date`; without one it is the id's own time. Kept to the second, as RFC 5322
    /// writes it.
    pub fn date(mut self, date: SystemTime) -> Self {
        self.date = Some(date);
        self
    }

    /// Adds a primary recipient.
    pub fn to(mut self, mailbox: Mailbox) -> Self {
        self.to.push(mailbox);
        self
    }

    /// Adds a copied recipient.
    pub fn cc(mut self, mailbox: Mailbox) -> Self {
        self.cc.push(mailbox);
        self
    }

    /// Adds a recipient that no header shows.
    pub fn bcc(mut self, mailbox: Mailbox) -> Self {
        self.bcc.push(mailbox);
        self
    }

    /// Adds an address for answers.
    pub fn reply_to(mut self, mailbox: Mailbox) -> Self {
        self.reply_to.push(mailbox);
        self
    }

    /// The subject; one line.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// The plain-text body.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The HTML body.
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Adds a custom header.
    pub fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Adds an attachment or inline part.
    pub fn attachment(mut self, attachment: Attachment) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds a pair of metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Checks all and freezes the email.
    ///
    /// # Errors
    ///
    /// [`EmailError`], which names the field: no recipient, neither text nor html, a control
    /// character in subject, tags or metadata, a NUL in a body.
    pub fn build(self) -> Result<Email, EmailError> {
        let one_line = |field, text: &str| {
            if text.chars().any(|c| c.is_control() && c != '\t') {
                Err(EmailError::Control { field })
            } else {
                Ok(())
            }
        };
        one_line("subject", &self.subject)?;
        self.tags.iter().try_for_each(|tag| one_line("tags", tag))?;
        self.metadata.iter().try_for_each(|(key, value)| {
            one_line("metadata", key)?;
            one_line("metadata", value)
        })?;
        if self.text.is_none() && self.html.is_none() {
            return Err(EmailError::NoContent);
        }
        for (field, body) in [("text", &self.text), ("html", &self.html)] {
            if body.as_ref().is_some_and(|body| body.contains('\0')) {
                return Err(EmailError::Nul { field });
            }
        }
        let recipients = [&self.to, &self.cc, &self.bcc]
            .into_iter()
            .flatten()
            .map(|mailbox| mailbox.address().clone())
            .collect();
        let envelope = Envelope::new(self.from.address().clone(), recipients)
            .map_err(|EmptyEnvelope| EmailError::NoRecipient)?;
        let id = self.id.unwrap_or_else(MessageId::new);
        Ok(Email {
            id,
            date: whole_seconds(self.date.unwrap_or_else(|| time_of(id))),
            from: self.from,
            to: self.to,
            cc: self.cc,
            bcc: self.bcc,
            reply_to: self.reply_to,
            subject: self.subject,
            text: self.text,
            html: self.html,
            headers: self.headers,
            attachments: self.attachments,
            tags: self.tags,
            metadata: self.metadata,
            envelope,
        })
    }
}

/// When a version 7 id was made; the epoch for ids of other versions.
fn time_of(id: MessageId) -> SystemTime {
    id.as_uuid().get_timestamp().map_or(SystemTime::UNIX_EPOCH, |stamp| {
        let (seconds, nanos) = stamp.to_unix();
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    })
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

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
