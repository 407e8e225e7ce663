//! The request of `POST /v3/mail/send`, in a fixed order of keys.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use serde::{Serialize, Serializer, ser::SerializeMap};
use shivneri_core::{Attachment, Email, EmailAddress, Mailbox, SendError};

use crate::{
    address::{self, Recipients, unsupported},
    http::Request,
    rfc2047,
};

/// The custom argument that carries our id into SendGrid's events.
const OUR_ID: &str = "shivneri_id";
const MAX_CATEGORIES: usize = 10;
const MAX_CATEGORY: usize = 255;
const MAX_ARGUMENTS: usize = 10_000;
/// Headers that SendGrid keeps for itself, beside those that no email may carry anyway.
const RESERVED: [&str; 2] = ["x-sg-id", "x-sg-eid"];

#[derive(Serialize)]
struct Body<'a> {
    personalizations: Vec<Personalization>,
    from: Party,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Party>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_list: Vec<Party>,
    subject: &'a str,
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
    headers: Pairs<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<&'a str>,
    custom_args: Pairs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_settings: Option<MailSettings>,
}

#[derive(Serialize)]
struct Personalization {
    to: Vec<Party>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Party>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<Party>,
}

#[derive(Serialize)]
struct Party {
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    content: String,
    r#type: &'a str,
    filename: &'a str,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

#[derive(Serialize)]
struct MailSettings {
    sandbox_mode: Enable,
}

#[derive(Serialize)]
struct Enable {
    enable: bool,
}

/// An object whose keys keep their order.
struct Pairs<'a>(Vec<(&'a str, String)>);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The whole request but for the key.
pub(super) fn build(email: &Email, test_mode: bool) -> Result<Request, SendError> {
    let personalizations = layout(email).iter().map(personalization).collect::<Result<_, _>>()?;
    let mut reply_to: Vec<Party> = email.reply_to().iter().map(party).collect::<Result<_, _>>()?;
    let single = if reply_to.len() == 1 { reply_to.pop() } else { None };
    let body = Body {
        personalizations,
        from: party(email.from())?,
        reply_to: single,
        reply_to_list: reply_to,
        // An empty subject is refused, a blank one reads the same.
        subject: if email.subject().is_empty() { " " } else { email.subject() },
        content: content(email),
        attachments: email.attachments().iter().map(file).collect::<Result<_, _>>()?,
        headers: headers(email)?,
        categories: categories(email),
        custom_args: arguments(email),
        mail_settings: test_mode.then_some(MailSettings { sandbox_mode: Enable { enable: true } }),
    };
    let body = serde_json::to_vec(&body).expect("text and lists are always JSON");
    let json = HeaderValue::from_static("application/json");
    Ok(Request::post("/v3/mail/send", json, Bytes::from(body)))
}

/// The recipients as the request lists them, one entry for each personalization.
///
/// Each personalization needs a primary recipient. An email to hidden recipients alone becomes
/// one personalization for each of them, so that none sees another. SendGrid refuses an address
/// that comes twice, and compares without case.
pub(super) fn layout(email: &Email) -> Vec<Recipients> {
    let key = |address: &EmailAddress| address.as_str().to_lowercase();
    let all = Recipients::of(email, key).with_primary();
    if !all.to.is_empty() {
        return vec![all];
    }
    let alone = |mailbox| Recipients { to: vec![mailbox], ..Recipients::default() };
    all.bcc.into_iter().map(alone).collect()
}

fn personalization(recipients: &Recipients) -> Result<Personalization, SendError> {
    let list = |mailboxes: &[Mailbox]| mailboxes.iter().map(recipient).collect::<Result<_, _>>();
    Ok(Personalization {
        to: list(&recipients.to)?,
        cc: list(&recipients.cc)?,
        bcc: list(&recipients.bcc)?,
    })
}

fn party(mailbox: &Mailbox) -> Result<Party, SendError> {
    let name = mailbox.name().map(str::to_owned);
    Ok(Party { email: address::ascii(mailbox.address())?, name })
}

/// A recipient's name with a comma or semicolon is split by SendGrid unless it is quoted
/// (sendgrid-python issue 291); senders' names are not.
fn recipient(mailbox: &Mailbox) -> Result<Party, SendError> {
    let mut party = party(mailbox)?;
    if let Some(name) = party.name.as_mut().filter(|name| name.contains([',', ';'])) {
        *name = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    Ok(party)
}

/// Text before HTML, as the API wants it. Empty parts are refused; an email without any words
/// has a blank as its text.
fn content(email: &Email) -> Vec<Content<'_>> {
    let parts = [("text/plain", email.text()), ("text/html", email.html())];
    let mut content: Vec<Content<'_>> = parts
        .into_iter()
        .filter_map(|(r#type, value)| Some(Content { r#type, value: value? }))
        .filter(|part| !part.value.is_empty())
        .collect();
    if content.is_empty() {
        content.push(Content { r#type: "text/plain", value: " " });
    }
    content
}

fn file(attachment: &Attachment) -> Result<File<'_>, SendError> {
    if attachment.content().is_empty() {
        return Err(unsupported("carries no empty attachment"));
    }
    // Parameters of the type are refused.
    let full = attachment.content_type();
    let r#type = full.split_once(';').map_or(full, |(essence, _)| essence).trim();
    Ok(File {
        content: STANDARD.encode(attachment.content()),
        r#type,
        filename: attachment.filename(),
        disposition: if attachment.content_id().is_some() { "inline" } else { "attachment" },
        content_id: attachment.content_id(),
    })
}

fn headers(email: &Email) -> Result<Pairs<'_>, SendError> {
    let mut pairs = vec![("Message-ID", address::message_id(email)?)];
    for header in email.headers() {
        let name = header.name();
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(unsupported(format!("keeps the header {name} for itself")));
        }
        if pairs.iter().any(|(other, _)| name.eq_ignore_ascii_case(other)) {
            return Err(unsupported(format!("carries one header {name} only")));
        }
        pairs.push((name, rfc2047::header_value(header.value())));
    }
    Ok(Pairs(pairs))
}

fn categories(email: &Email) -> Vec<&str> {
    let mut categories: Vec<&str> = Vec::new();
    for tag in email.tags() {
        let room = categories.len() < MAX_CATEGORIES;
        let fits = tag.len() <= MAX_CATEGORY && tag.is_ascii();
        if room && fits && !categories.contains(&tag.as_str()) {
            categories.push(tag);
        }
    }
    categories
}

fn arguments(email: &Email) -> Pairs<'_> {
    let mut pairs = vec![(OUR_ID, email.id().to_string())];
    // Quotes, colon and comma, and room for what JSON escapes.
    let cost = |key: &str, value: &str| 2 * (key.len() + value.len()) + 6;
    let mut used = cost(OUR_ID, &pairs[0].1) + 2;
    for (key, value) in email.metadata() {
        used += cost(key, value);
        if used > MAX_ARGUMENTS {
            break;
        }
        if key != OUR_ID {
            pairs.push((key, value.clone()));
        }
    }
    Pairs(pairs)
}
