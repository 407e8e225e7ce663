//! Collecting an email's fields, and checking them together.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{Attachment, Email, EmptyEnvelope, Envelope, Header, Mailbox};
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
pub(super) fn time_of(id: MessageId) -> SystemTime {
    id.as_uuid().get_timestamp().map_or(SystemTime::UNIX_EPOCH, |stamp| {
        let (seconds, nanos) = stamp.to_unix();
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    })
}

pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
