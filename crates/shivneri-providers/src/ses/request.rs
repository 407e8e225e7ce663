//! The request of `POST /v2/email/outbound-emails`, in a fixed order of keys.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use shivneri_core::{Attachment, Email, Mailbox, SendError};

use crate::{
    address::{Recipients, encoded, exactly, unsupported},
    http::Request,
    rfc2047,
};

/// The message tag that carries our id into SES's events.
const OUR_ID: &str = "shivneri_id";
const MAX_TAGS: usize = 50;
const MAX_TAG: usize = 256;
const MAX_HEADERS: usize = 15;
const MAX_HEADER: usize = 996;
const MAX_VALUE: usize = 995;
const MAX_CONTENT_ID: usize = 78;
const MAX_CONTENT_TYPE: usize = 78;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    from_email_address: String,
    destination: Destination,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_addresses: Vec<String>,
    content: Content<'a>,
    email_tags: Vec<Pair>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc_addresses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content<'a> {
    simple: Simple<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Simple<'a> {
    subject: Text<'a>,
    body: Parts<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Text<'a> {
    data: &'a str,
    charset: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Parts<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct File<'a> {
    raw_content: String,
    content_disposition: &'static str,
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
    content_transfer_encoding: &'static str,
    content_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    name: String,
    value: String,
}

/// The whole request but for its signature.
pub(super) fn build(email: &Email) -> Result<Request, SendError> {
    let list = |mailboxes: &[Mailbox]| mailboxes.iter().map(encoded).collect::<Result<_, _>>();
    let recipients = Recipients::of(email, exactly);
    let body = Body {
        from_email_address: encoded(email.from())?,
        destination: Destination {
            to_addresses: list(&recipients.to)?,
            cc_addresses: list(&recipients.cc)?,
            bcc_addresses: list(&recipients.bcc)?,
        },
        reply_to_addresses: list(email.reply_to())?,
        content: Content {
            simple: Simple {
                subject: text(email.subject()),
                body: Parts { text: email.text().map(text), html: email.html().map(text) },
                headers: headers(email)?,
                attachments: email.attachments().iter().map(file).collect::<Result<_, _>>()?,
            },
        },
        email_tags: tags(email),
    };
    let body = serde_json::to_vec(&body).expect("text and lists are always JSON");
    let json = HeaderValue::from_static("application/json");
    Ok(Request::post("/v2/email/outbound-emails", json, Bytes::from(body)))
}

fn text(data: &str) -> Text<'_> {
    Text { data, charset: "UTF-8" }
}

fn headers(email: &Email) -> Result<Vec<Pair>, SendError> {
    if email.headers().len() > MAX_HEADERS {
        return Err(unsupported(format!("carries {MAX_HEADERS} headers at most")));
    }
    let pair = |header: &shivneri_core::Header| {
        let (name, value) = (header.name().to_owned(), rfc2047::header_value(header.value()));
        let fits = (1..=MAX_VALUE).contains(&value.len()) && name.len() + value.len() <= MAX_HEADER;
        if fits {
            Ok(Pair { name, value })
        } else {
            Err(unsupported(format!("carries no header {name} that is empty or so long")))
        }
    };
    email.headers().iter().map(pair).collect()
}

fn file(attachment: &Attachment) -> Result<File<'_>, SendError> {
    let content_id = attachment.content_id();
    if content_id.is_some_and(|id| id.len() > MAX_CONTENT_ID) {
        return Err(unsupported(format!("carries content ids of {MAX_CONTENT_ID} bytes at most")));
    }
    let content_type = attachment.content_type();
    if content_type.len() > MAX_CONTENT_TYPE {
        return Err(unsupported(format!(
            "carries content types of {MAX_CONTENT_TYPE} bytes at most"
        )));
    }
    Ok(File {
        raw_content: STANDARD.encode(attachment.content()),
        content_disposition: if content_id.is_some() { "INLINE" } else { "ATTACHMENT" },
        file_name: attachment.filename(),
        content_id,
        content_transfer_encoding: "BASE64",
        content_type,
    })
}

/// Our id, then the email's tags as `tag`, `tag-2`, …, then its metadata; each once, and only
/// what SES can carry.
fn tags(email: &Email) -> Vec<Pair> {
    let fits = |text: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        (1..=MAX_TAG).contains(&text.len()) && text.bytes().all(word)
    };
    let mut tags = vec![Pair { name: OUR_ID.into(), value: email.id().to_string() }];
    for (number, tag) in email.tags().iter().filter(|tag| fits(tag)).enumerate() {
        let name = if number == 0 { "tag".into() } else { format!("tag-{}", number + 1) };
        tags.push(Pair { name, value: tag.clone() });
    }
    for (key, value) in email.metadata() {
        if fits(key) && fits(value) && !tags.iter().any(|tag| tag.name == *key) {
            tags.push(Pair { name: key.clone(), value: value.clone() });
        }
    }
    tags.truncate(MAX_TAGS);
    tags
}
