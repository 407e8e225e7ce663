//! A message as RFC 5322 text, taken apart into the API's fields.

mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mail_parser::{Address as Addresses, Message as Mail, MessageParser, MimeHeaders};

use super::message::{Address, Message};

/// A message that was read, and what of it the API has no place for.
#[derive(Debug)]
pub(super) struct Eml {
    pub(super) message: Message,
    /// One phrase for each thing left behind.
    pub(super) dropped: Vec<String>,
}

/// Headers that become fields of the message, or describe a MIME form that is written anew.
const FIELDS: [&str; 7] = ["from", "to", "cc", "bcc", "reply-to", "subject", "mime-version"];

/// Headers written by those who send and carry a message; the server writes its own.
const CARRIED: [&str; 12] = [
    "sender",
    "date",
    "message-id",
    "received",
    "return-path",
    "dkim-signature",
    "domainkey-signature",
    "authentication-results",
    "received-spf",
    "delivered-to",
    "x-original-to",
    "envelope-to",
];

/// Takes a message apart.
///
/// # Errors
///
/// What can't be sent through the API without breaking it: text that is no message, a signed or
/// encrypted one, one with `X-Shivneri-*` headers, a part whose encoding is broken.
pub(super) fn read(bytes: &[u8]) -> Result<Eml, String> {
    let mail = MessageParser::default().parse(bytes).filter(|mail| !mail.headers().is_empty());
    let mail = mail.ok_or("it is no RFC 5322 message: it has no header")?;
    refuse_sealed(&mail)?;
    let mut dropped = Vec::new();
    let headers = headers(&mail, bytes, &mut dropped)?;
    let mut authors = addresses("From", mail.from(), &mut dropped).into_iter();
    let from = authors.next();
    dropped.extend(authors.map(|_| "a further author in From".to_owned()));
    let html = parts::html(&mail);
    let message = Message {
        from,
        to: addresses("To", mail.to(), &mut dropped),
        cc: addresses("Cc", mail.cc(), &mut dropped),
        bcc: addresses("Bcc", mail.bcc(), &mut dropped),
        reply_to: addresses("Reply-To", mail.reply_to(), &mut dropped),
        subject: mail.subject().unwrap_or_default().to_owned(),
        text: parts::text(&mail),
        attachments: parts::attachments(&mail, bytes, html.as_deref().unwrap_or_default())?,
        html,
        headers,
    };
    Ok(Eml { message, dropped })
}

/// A signature covers the MIME form, which the API does not carry.
fn refuse_sealed(mail: &Mail<'_>) -> Result<(), String> {
    for kind in mail.parts.iter().filter_map(|part| part.content_type()) {
        let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
        if kind.ctype().eq_ignore_ascii_case("multipart")
            && matches!(subtype.as_str(), "signed" | "encrypted")
        {
            return Err(format!("it is multipart/{subtype}, which taking it apart would break"));
        }
    }
    Ok(())
}

fn headers(
    mail: &Mail<'_>,
    bytes: &[u8],
    dropped: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for header in mail.headers() {
        let name = header.name();
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("x-shivneri-") {
            return Err(format!("{name} speaks to the SMTP door; use this command's flags"));
        }
        if FIELDS.contains(&lower.as_str()) || lower.starts_with("content-") {
            continue;
        }
        let carried = CARRIED.contains(&lower.as_str())
            || lower.starts_with("arc-")
            || lower.starts_with("resent-");
        if carried {
            dropped.push(format!("header {name}"));
        } else if headers.keys().any(|kept| kept.eq_ignore_ascii_case(name)) {
            dropped.push(format!("a further header {name}"));
        } else {
            let raw = bytes.get(header.offset_start() as usize..header.offset_end() as usize);
            headers.insert(name.to_owned(), unfolded(raw.unwrap_or_default()));
        }
    }
    Ok(headers)
}

/// RFC 5322 section 2.2.3: a line break before white space is no part of the value.
fn unfolded(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect::<String>().trim().to_owned()
}

/// The addresses of a header; those of groups stand in a row with the others.
fn addresses(
    name: &str,
    header: Option<&Addresses<'_>>,
    dropped: &mut Vec<String>,
) -> Vec<Address> {
    let mut list = Vec::new();
    for entry in header.into_iter().flat_map(Addresses::iter) {
        match entry.address() {
            Some(email) => {
                let name = entry.name().filter(|name| !name.is_empty()).map(str::to_owned);
                list.push(Address::Parts { email: email.to_owned(), name });
            }
            None => dropped.push(format!("an entry without an address in {name}")),
        }
    }
    list
}
