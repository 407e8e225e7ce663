//! A message as people and programs write it: text fields, checked into an [`Email`].

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::{
    Attachment, Email, Header, LaneName, Mailbox, MessageId, OnDoubt, ProviderId,
    email::{AddressError, EmailError},
};

/// Recipients over to, cc and bcc that a draft may have at most.
pub const MAX_RECIPIENTS: usize = 50;
/// Bytes that bodies and attachments may have at most, decoded: 25 MiB.
pub const MAX_BYTES: usize = 25 << 20;

/// A field that is not valid, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path, as `to[0]` or `attachments[1].filename`.
    pub field: String,
    /// Why it is not valid: lower case, no full stop.
    pub reason: String,
}

impl FieldError {
    /// Names a field and the reason.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}

/// An address as it was given: RFC 5322 text, or address and name apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressText {
    /// `Asha <asha@example.com>`.
    Text(String),
    /// Address and display name apart.
    Parts {
        /// The address.
        email: String,
        /// The display name.
        name: Option<String>,
    },
}

impl AddressText {
    fn parse(&self) -> Result<Mailbox, AddressError> {
        match self {
            Self::Text(text) => text.parse(),
            Self::Parts { email, name } => Mailbox::new(name.as_deref(), email.parse()?),
        }
    }
}

impl From<&str> for AddressText {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// An attachment as it was given, its content decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentDraft {
    /// The file's name.
    pub filename: String,
    /// The media type.
    pub content_type: String,
    /// The octets.
    pub content: Bytes,
    /// The content id of an inline part.
    pub content_id: Option<String>,
}

/// A message before it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The author.
    pub from: Option<AddressText>,
    /// Primary recipients.
    pub to: Vec<AddressText>,
    /// Copied recipients.
    pub cc: Vec<AddressText>,
    /// Hidden recipients.
    pub bcc: Vec<AddressText>,
    /// Where answers go.
    pub reply_to: Vec<AddressText>,
    /// The subject.
    pub subject: String,
    /// The plain-text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Custom headers.
    pub headers: BTreeMap<String, String>,
    /// Attachments.
    pub attachments: Vec<AttachmentDraft>,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// The lane's name; absent: `transactional`.
    pub lane: Option<String>,
    /// Not to be sent before this time.
    pub send_at: Option<SystemTime>,
    /// Not to be sent after this time.
    pub expires_at: Option<SystemTime>,
    /// What to do when in doubt; absent: the route's or lane's word.
    pub on_doubt: Option<OnDoubt>,
    /// The providers it may take; absent: all.
    pub providers: Option<Vec<String>>,
}

/// A draft that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The email.
    pub email: Email,
    /// The lane's name.
    pub lane: LaneName,
    /// Not to be sent before this time.
    pub send_at: Option<SystemTime>,
    /// Not to be sent after this time.
    pub expires_at: Option<SystemTime>,
    /// What to do when in doubt.
    pub on_doubt: Option<OnDoubt>,
    /// The providers it may take.
    pub providers: Option<Vec<ProviderId>>,
}

impl Draft {
    /// Checks every field, and names each that is not valid.
    ///
    /// # Errors
    ///
    /// One [`FieldError`] for each field that doesn't fit.
    pub fn check(&self, id: MessageId, now: SystemTime) -> Result<Checked, Vec<FieldError>> {
        let mut errors = Vec::new();
        let from = match &self.from {
            Some(from) => from.parse().map_err(|e| errors.push(FieldError::new("from", e))).ok(),
            None => {
                errors.push(FieldError::new("from", "is required"));
                None
            }
        };
        let mut lists =
            [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc), ("reply_to", &self.reply_to)]
                .map(|(field, list)| addresses(field, list, &mut errors));
        let count = self.to.len() + self.cc.len() + self.bcc.len();
        if count == 0 {
            errors.push(FieldError::new("to", "at least one recipient is required"));
        } else if count > MAX_RECIPIENTS {
            let reason =
                format!("{count} recipients over to, cc and bcc, {MAX_RECIPIENTS} at most");
            errors.push(FieldError::new("to", reason));
        }
        self.check_size(&mut errors);
        let headers = self.check_headers(&mut errors);
        let attachments = self.check_attachments(&mut errors);
        let lane = self.lane.as_deref().unwrap_or("transactional").parse::<LaneName>();
        let lane = lane.map_err(|e| errors.push(FieldError::new("lane", e))).ok();
        let providers = self.check_providers(&mut errors);
        if let Some(at) = self.expires_at
            && at <= self.send_at.unwrap_or(now).max(now)
        {
            errors.push(FieldError::new("expires_at", "is not after the time of sending"));
        }
        if self.text.is_none() && self.html.is_none() {
            errors.push(FieldError::new("text", "text or html is required"));
        }
        let (Some(from), Some(lane), true) = (from, lane, errors.is_empty()) else {
            return Err(errors);
        };
        let mut builder = Email::builder(from).id(id).subject(self.subject.as_str());
        if let Some(at) = self.send_at {
            builder = builder.date(at.max(now));
        }
        let [to, cc, bcc, reply_to] = &mut lists;
        builder = std::mem::take(to).into_iter().fold(builder, |b, one| b.to(one));
        builder = std::mem::take(cc).into_iter().fold(builder, |b, one| b.cc(one));
        builder = std::mem::take(bcc).into_iter().fold(builder, |b, one| b.bcc(one));
        builder = std::mem::take(reply_to).into_iter().fold(builder, |b, one| b.reply_to(one));
        builder = headers.into_iter().fold(builder, |b, one| b.header(one));
        builder = attachments.into_iter().fold(builder, |b, one| b.attachment(one));
        builder = self.tags.iter().fold(builder, |b, tag| b.tag(tag.as_str()));
        builder =
            self.metadata.iter().fold(builder, |b, (k, v)| b.metadata(k.as_str(), v.as_str()));
        if let Some(text) = &self.text {
            builder = builder.text(text.as_str());
        }
        if let Some(html) = &self.html {
            builder = builder.html(html.as_str());
        }
        let email = builder.build().map_err(|error| vec![field_of(&error)])?;
        let (send_at, expires_at) = (self.send_at, self.expires_at);
        Ok(Checked { email, lane, send_at, expires_at, on_doubt: self.on_doubt, providers })
    }

    fn check_size(&self, errors: &mut Vec<FieldError>) {
        let bodies = [&self.text, &self.html].into_iter().flatten().map(String::len).sum::<usize>();
        let files: usize = self.attachments.iter().map(|file| file.content.len()).sum();
        if bodies + files > MAX_BYTES {
            let field = if files > bodies { "attachments" } else { "text" };
            let reason = format!("{} bytes in all, {MAX_BYTES} at most", bodies + files);
            errors.push(FieldError::new(field, reason));
        }
        for (field, value, max) in [
            ("subject", self.subject.len(), 2000),
            ("tags", self.tags.len(), 50),
            ("metadata", self.metadata.len(), 50),
        ] {
            if value > max {
                errors.push(FieldError::new(field, format!("too long: {value}, {max} at most")));
            }
        }
        let long = |text: &String| text.is_empty() || text.len() > 256;
        for (index, tag) in self.tags.iter().enumerate() {
            if long(tag) {
                errors
                    .push(FieldError::new(format!("tags[{index}]"), "is not 1 to 256 bytes long"));
            }
        }
        for (key, value) in &self.metadata {
            if long(key) || value.len() > 1024 {
                let field = format!("metadata.{}", key.chars().take(40).collect::<String>());
                errors.push(FieldError::new(
                    field,
                    "key is not 1 to 256 or value over 1,024 bytes long",
                ));
            }
        }
    }

    fn check_headers(&self, errors: &mut Vec<FieldError>) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::new();
        for (name, value) in &self.headers {
            let field = || format!("headers.{}", name.chars().take(80).collect::<String>());
            match Header::new(name, value) {
                Ok(header) if headers.iter().any(|h| h.name().eq_ignore_ascii_case(name)) => {
                    errors.push(FieldError::new(
                        field(),
                        format!("{} is there twice", header.name()),
                    ));
                }
                Ok(header) => headers.push(header),
                Err(error) => errors.push(FieldError::new(field(), error)),
            }
        }
        headers
    }

    fn check_attachments(&self, errors: &mut Vec<FieldError>) -> Vec<Attachment> {
        use crate::email::AttachmentError as E;
        let mut attachments = Vec::new();
        for (index, file) in self.attachments.iter().enumerate() {
            let checked = Attachment::new(&file.filename, &file.content_type, file.content.clone())
                .and_then(|attachment| match &file.content_id {
                    Some(id) => attachment.inline(id),
                    None => Ok(attachment),
                });
            match checked {
                Ok(attachment) => attachments.push(attachment),
                Err(error) => {
                    let part = match error {
                        E::Filename => "filename",
                        E::ContentType => "content_type",
                        E::ContentId => "content_id",
                    };
                    errors.push(FieldError::new(format!("attachments[{index}].{part}"), error));
                }
            }
        }
        attachments
    }

    fn check_providers(&self, errors: &mut Vec<FieldError>) -> Option<Vec<ProviderId>> {
        let names = self.providers.as_ref()?;
        if names.is_empty() {
            errors.push(FieldError::new("providers", "is an empty list; leave it out for all"));
        }
        let mut ids = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match name.parse() {
                Ok(id) => ids.push(id),
                Err(error) => errors.push(FieldError::new(format!("providers[{index}]"), error)),
            }
        }
        Some(ids)
    }

    /// A draft that is due within the second counts as due now.
    pub fn is_scheduled(&self, now: SystemTime) -> bool {
        self.send_at.is_some_and(|at| at > now + Duration::from_secs(1))
    }
}

fn addresses(field: &str, list: &[AddressText], errors: &mut Vec<FieldError>) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for (index, text) in list.iter().enumerate() {
        match text.parse() {
            Ok(mailbox) => mailboxes.push(mailbox),
            Err(error) => errors.push(FieldError::new(format!("{field}[{index}]"), error)),
        }
    }
    mailboxes
}

fn field_of(error: &EmailError) -> FieldError {
    let field = match error {
        EmailError::NoRecipient => "to",
        EmailError::NoContent => "text",
        EmailError::Control { field } | EmailError::Nul { field } => field,
    };
    FieldError::new(field, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            from: Some("Asha <asha@example.com>".into()),
            to: vec!["b@example.org".into()],
            subject: "hello".into(),
            text: Some("hi".into()),
            ..Draft::default()
        }
    }

    fn fields(draft: &Draft) -> Vec<String> {
        let errors = draft.check(MessageId::new(), SystemTime::now()).unwrap_err();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_whole_draft_becomes_an_email() {
        let checked = draft().check(MessageId::new(), SystemTime::now()).unwrap();
        assert_eq!(checked.email.from().name(), Some("Asha"));
        assert_eq!(checked.lane.as_str(), "transactional");
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let bad = Draft {
            from: Some("nobody".into()),
            to: vec!["b@example.org".into(), "x".into()],
            headers: [("Bcc".to_owned(), "c@d".to_owned())].into(),
            attachments: vec![AttachmentDraft {
                filename: "a".into(),
                content_type: "pdf".into(),
                content: Bytes::new(),
                content_id: None,
            }],
            providers: Some(vec!["ok".into(), "not ok".into()]),
            lane: Some("no lane".into()),
            ..draft()
        };
        let named =
            ["from", "to[1]", "headers.Bcc", "attachments[0].content_type", "lane", "providers[1]"];
        assert_eq!(fields(&bad), named);
    }

    #[test]
    fn limits_are_kept() {
        let many = vec!["b@example.org".into(); MAX_RECIPIENTS + 1];
        assert_eq!(fields(&Draft { to: many, ..draft() }), ["to"]);
        let large = Some("x".repeat(MAX_BYTES + 1));
        assert_eq!(fields(&Draft { text: large, ..draft() }), ["text"]);
        assert_eq!(fields(&Draft { from: None, text: None, ..draft() }), ["from", "text"]);
        let past = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(fields(&Draft { expires_at: past, ..draft() }), ["expires_at"]);
    }

    #[test]
    fn a_line_break_is_refused_in_every_field_of_one_line() {
        assert_eq!(fields(&Draft { subject: "a\r\nBcc: x@y".into(), ..draft() }), ["subject"]);
        let from = Some(AddressText::Parts { email: "a@b".into(), name: Some("x\r\ny".into()) });
        assert_eq!(fields(&Draft { from, ..draft() }), ["from"]);
    }
}
