//! The request of `POST /v3/{domain}/messages`, its fields in a fixed order.

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter, tz::TimeZone};
use serde_json::{Map, Value};
use shivneri_core::{Email, Mailbox, SendError};

use super::multipart::Form;
use crate::{
    address::{self, Recipients, exactly, plain, unsupported},
    http::Request,
    rfc2047,
};

/// The variable that carries our id into Mailgun's events.
const OUR_ID: &str = "shivneri_id";
const MAX_TAGS: usize = 10;
const MAX_TAG: usize = 128;
/// Octets that options, headers and variables may have together.
const MAX_OPTIONS: usize = 16 << 10;

/// A form that counts what its options use up.
struct Draft {
    form: Form,
    options: usize,
}

impl Draft {
    /// Adds an option, header or variable, if there is room.
    fn option(&mut self, name: &str, value: &str) -> bool {
        let size = name.len() + value.len();
        let fits = self.options + size <= MAX_OPTIONS;
        if fits {
            self.options += size;
            self.form.text(name, value);
        }
        fits
    }

    /// Adds one that the email can't do without.
    fn header(&mut self, name: &str, value: &str) -> Result<(), SendError> {
        let name = format!("h:{name}");
        if self.option(&name, value) {
            Ok(())
        } else {
            Err(unsupported(format!("carries headers of {MAX_OPTIONS} bytes at most")))
        }
    }
}

/// The whole request but for the key.
pub(super) fn build(path: &str, email: &Email, test_mode: bool) -> Result<Request, SendError> {
    let mut draft = Draft { form: Form::new(&email.id().to_string()), options: 0 };
    let form = &mut draft.form;
    form.text("from", &plain(email.from())?);
    recipients(form, email)?;
    form.text("subject", email.subject());
    bodies(form, email);
    headers(&mut draft, email)?;
    if test_mode {
        draft.option("o:testmode", "yes");
    }
    draft.option(&format!("v:{OUR_ID}"), &email.id().to_string());
    let mut tags: Vec<&String> = Vec::new();
    for tag in email.tags() {
        let fits = tags.len() < MAX_TAGS && tag.len() <= MAX_TAG && tag.is_ascii();
        if fits && !tags.contains(&tag) && draft.option("o:tag", tag) {
            tags.push(tag);
        }
    }
    for (key, value) in email.metadata().iter().filter(|(key, _)| *key != OUR_ID) {
        draft.option(&format!("v:{key}"), value);
    }
    let mut form = draft.form;
    files(&mut form, email);
    let content_type = form.content_type();
    Ok(Request::post(path, content_type, form.finish()))
}

/// A message without any field: refused, once the key is.
pub(super) fn without_fields(path: &str) -> Request {
    let form = Form::new("probe");
    let content_type = form.content_type();
    Request::post(path, content_type, form.finish())
}

/// A primary recipient is wanted. An email to hidden recipients alone is sent as a batch, in
/// which each sees no address but its own.
fn recipients(form: &mut Form, email: &Email) -> Result<(), SendError> {
    let mut all = Recipients::of(email, exactly).with_primary();
    let batch = all.to.is_empty();
    if batch {
        all.to = std::mem::take(&mut all.bcc);
    }
    for (field, list) in [("to", &all.to), ("cc", &all.cc), ("bcc", &all.bcc)] {
        for mailbox in list {
            form.text(field, &plain(mailbox)?);
        }
    }
    if batch && all.to.len() > 1 {
        form.text("recipient-variables", &no_variables(&all.to, email)?);
    }
    Ok(())
}

fn no_variables(recipients: &[Mailbox], email: &Email) -> Result<String, SendError> {
    let mut texts = [email.text(), email.html(), Some(email.subject())].into_iter().flatten();
    if texts.any(|text| text.contains("%recipient")) {
        return Err(unsupported("would replace %recipient… in a text to hidden recipients alone"));
    }
    let mut variables = Map::new();
    for mailbox in recipients {
        variables.insert(address::ascii(mailbox.address())?, Value::Object(Map::new()));
    }
    Ok(Value::Object(variables).to_string())
}

/// An email without any words has a blank as its text, since one of the two is wanted.
fn bodies(form: &mut Form, email: &Email) {
    let parts = [("text", email.text()), ("html", email.html())];
    let mut some = false;
    for (field, body) in parts {
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            form.text(field, body);
            some = true;
        }
    }
    if !some {
        form.text("text", " ");
    }
}

fn headers(draft: &mut Draft, email: &Email) -> Result<(), SendError> {
    draft.header("Message-Id", &address::message_id(email)?)?;
    if let Some(date) = date(email) {
        draft.header("Date", &date)?;
    }
    let reply_to: Vec<String> = email.reply_to().iter().map(plain).collect::<Result<_, _>>()?;
    if !reply_to.is_empty() {
        draft.header("Reply-To", &reply_to.join(", "))?;
    }
    email
        .headers()
        .iter()
        .try_for_each(|header| draft.header(header.name(), &rfc2047::header_value(header.value())))
}

/// The frozen date as RFC 5322 writes it; none for a year that it can't write.
fn date(email: &Email) -> Option<String> {
    let date = Timestamp::try_from(email.date()).ok()?.to_zoned_datetime(TimeZone::UTC);
    DateTimePrinter::new().zoned_datetime_to_string(&date).ok()
}

fn files(form: &mut Form, email: &Email) {
    for file in email.attachments() {
        let (content_type, content) = (file.content_type(), file.content());
        match file.content_id() {
            Some(id) => form.file("inline", id, content_type, content),
            None => form.file("attachment", file.filename(), content_type, content),
        }
    }
}
