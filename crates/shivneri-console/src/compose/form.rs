//! What was written into the form, and what is wrong with it.

use std::collections::BTreeMap;

use axum::{
    extract::{Multipart, multipart::MultipartError},
    http::StatusCode,
};
use shivneri_core::draft::{AddressText, AttachmentDraft, Draft, FieldError};
use uuid::Uuid;

use super::{addresses::split, upload::Upload};
use crate::format;

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    From,
    To,
    Cc,
    Bcc,
    ReplyTo,
    Subject,
    Text,
    Html,
    Lane,
    Attachments,
}

impl Field {
    pub(crate) const ALL: [Self; 10] = [
        Self::From,
        Self::To,
        Self::Cc,
        Self::Bcc,
        Self::ReplyTo,
        Self::Subject,
        Self::Text,
        Self::Html,
        Self::Lane,
        Self::Attachments,
    ];

    /// Its name in the form, and the beginning of its path in a [`FieldError`].
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
            Self::ReplyTo => "reply_to",
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
            Self::Lane => "lane",
            Self::Attachments => "attachments",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::From => "From",
            Self::To => "To",
            Self::Cc => "Cc",
            Self::Bcc => "Bcc",
            Self::ReplyTo => "Reply to",
            Self::Subject => "Subject",
            Self::Text => "Text",
            Self::Html => "HTML",
            Self::Lane => "Lane",
            Self::Attachments => "Attachments",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// The form as it was filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form {
    /// What was typed, by field.
    typed: BTreeMap<Field, String>,
    /// The files that were chosen.
    pub(crate) files: Vec<AttachmentDraft>,
    /// Stands for this showing of the form, so that one that is posted twice sends once.
    pub(crate) token: String,
}

impl Default for Form {
    fn default() -> Self {
        Self { typed: BTreeMap::new(), files: Vec::new(), token: Uuid::new_v4().to_string() }
    }
}

impl Form {
    /// Reads a posted form, as far as it can be read; files are the last of its fields, so that
    /// what was typed is known even where they are too large.
    pub(crate) async fn read(mut upload: Upload, max: usize) -> (Self, Errors) {
        let (mut form, mut errors) = (Self::default(), Errors::default());
        let end = loop {
            match form.read_field(&mut upload.multipart, &mut errors).await {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        if upload.is_cut() {
            let most = format::size(max);
            errors.too_large = true;
            let sentence = format!("The form with its files is over {most}. Nothing was sent.");
            errors.add(Some(Field::Attachments), sentence);
        } else if let Some(error) = end {
            errors.add(None, format!("The form could not be read: {error}."));
        }
        (form, errors)
    }

    async fn read_field(
        &mut self,
        multipart: &mut Multipart,
        errors: &mut Errors,
    ) -> Result<bool, MultipartError> {
        let Some(part) = multipart.next_field().await? else { return Ok(false) };
        let name = part.name().unwrap_or_default().to_owned();
        match Field::named(&name) {
            Some(Field::Attachments) => {
                let filename = part.file_name().unwrap_or_default().to_owned();
                let kind = part.content_type().unwrap_or("application/octet-stream").to_owned();
                let content = part.bytes().await?;
                // An untouched field posts one part without name and content.
                if !(filename.is_empty() && content.is_empty()) {
                    let file =
                        AttachmentDraft { filename, content_type: kind, content, content_id: None };
                    self.files.push(file);
                }
            }
            Some(field) => {
                // Forms post every line break as CR LF.
                let text = part.text().await?.replace("\r\n", "\n");
                self.typed.insert(field, text);
            }
            None if name == "token" => {
                self.token = part.text().await?.chars().take(64).collect();
            }
            None => {
                let name: String = name.chars().take(80).collect();
                errors.add(None, format!("The form has no field “{name}”."));
            }
        }
        Ok(true)
    }

    /// What was typed into a field.
    pub(crate) fn typed(&self, field: Field) -> &str {
        self.typed.get(&field).map_or("", String::as_str)
    }

    /// The addresses of a field.
    pub(crate) fn addresses(&self, field: Field) -> Vec<&str> {
        split(self.typed(field))
    }

    /// The message that it describes.
    pub(crate) fn draft(&self) -> Draft {
        let one = |field| Some(self.typed(field).trim()).filter(|text| !text.is_empty());
        let list = |field| self.addresses(field).into_iter().map(AddressText::from).collect();
        let body =
            |field| Some(self.typed(field).to_owned()).filter(|text| !text.trim().is_empty());
        Draft {
            from: one(Field::From).map(AddressText::from),
            to: list(Field::To),
            cc: list(Field::Cc),
            bcc: list(Field::Bcc),
            reply_to: list(Field::ReplyTo),
            subject: self.typed(Field::Subject).trim().to_owned(),
            text: body(Field::Text),
            html: body(Field::Html),
            attachments: self.files.clone(),
            lane: one(Field::Lane).map(str::to_owned),
            ..Draft::default()
        }
    }
}

/// What is wrong with a form, in sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Errors {
    list: Vec<(Option<Field>, String)>,
    too_large: bool,
}

impl Errors {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The status that a form which can't even be read is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        if self.too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
    }

    /// Adds a sentence about a field, or about the whole.
    pub(crate) fn add(&mut self, field: Option<Field>, sentence: String) {
        self.list.push((field, sentence));
    }

    /// Every sentence with its field.
    pub(crate) fn all(&self) -> &[(Option<Field>, String)] {
        &self.list
    }

    /// The sentences about a field.
    pub(crate) fn of(&self, field: Field) -> impl Iterator<Item = &str> {
        self.list.iter().filter(move |(of, _)| *of == Some(field)).map(|(_, text)| text.as_str())
    }

    /// Puts each error of the check beside the field it is about, and names the entry.
    pub(crate) fn of_fields(form: &Form, wrong: &[FieldError]) -> Self {
        let mut errors = Self::default();
        for FieldError { field: path, reason } in wrong {
            let name = path.split(['[', '.']).next().unwrap_or_default();
            let Some(field) = Field::named(name) else {
                errors.add(None, format!("{path}: {reason}."));
                continue;
            };
            let index = path.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            let index = index.and_then(|(index, _)| index.parse::<usize>().ok());
            let entry = index.and_then(|index| form.entry(field, index));
            errors.add(Some(field), sentence(field, entry, reason));
        }
        errors
    }
}

impl Form {
    /// One of several things in a field, as it was typed or chosen.
    fn entry(&self, field: Field, index: usize) -> Option<&str> {
        match field {
            Field::Attachments => self.files.get(index).map(|file| file.filename.as_str()),
            Field::To | Field::Cc | Field::Bcc | Field::ReplyTo => {
                self.addresses(field).get(index).copied()
            }
            Field::From | Field::Subject | Field::Text | Field::Html | Field::Lane => None,
        }
    }
}

fn sentence(field: Field, entry: Option<&str>, reason: &str) -> String {
    if let Some(entry) = entry {
        let entry: String = entry.chars().take(80).collect();
        return format!("“{entry}”: {reason}.");
    }
    if reason.starts_with("is ") {
        return format!("{} {reason}.", field.label());
    }
    let mut chars = reason.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
