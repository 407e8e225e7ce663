//! The bodies and files of a message.

use std::fmt::Write;

use mail_parser::{
    ContentType, Encoding, Message as Mail, MessagePart, MimeHeaders, PartType,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};

use super::super::message::Attachment;

/// The HTML body; none where the message has plain text only. Plain parts that stand among HTML
/// ones, as a mailing list's footer, are turned into HTML and stay in their place.
pub(super) fn html(mail: &Mail<'_>) -> Option<String> {
    let any = mail.html_bodies().any(MessagePart::is_text_html);
    any.then(|| (0..mail.html_body_count()).filter_map(|at| mail.body_html(at)).collect())
}

/// The plain-text body; none where the message has HTML only.
pub(super) fn text(mail: &Mail<'_>) -> Option<String> {
    let plain = |part: &MessagePart<'_>| matches!(part.body, PartType::Text(_));
    let any = mail.text_bodies().any(plain);
    any.then(|| (0..mail.text_body_count()).filter_map(|at| mail.body_text(at)).collect())
}

/// Files and inline parts. `html` tells which content ids are used.
pub(super) fn attachments(
    mail: &Mail<'_>,
    bytes: &[u8],
    html: &str,
) -> Result<Vec<Attachment>, String> {
    let parts = mail.attachments().enumerate();
    parts.map(|(index, part)| attachment(index + 1, part, bytes, html)).collect()
}

fn attachment(
    number: usize,
    part: &MessagePart<'_>,
    bytes: &[u8],
    html: &str,
) -> Result<Attachment, String> {
    let content_type = part.content_type().map_or_else(|| "text/plain".to_owned(), media_type);
    let filename = match part.attachment_name() {
        Some(name) => name.to_owned(),
        None => format!("part-{number}.{}", extension(&content_type)),
    };
    let content = content(part, bytes)
        .ok_or_else(|| format!("the encoding of its attachment {filename:?} is broken"))?;
    let id = part.content_id().filter(|id| {
        let inline = part.content_disposition().is_some_and(ContentType::is_inline);
        inline || html.contains(&format!("cid:{id}"))
    });
    Ok(Attachment { filename, content_type, content, content_id: id.map(str::to_owned) })
}

/// The octets as they were before they were encoded: text keeps its character set.
fn content(part: &MessagePart<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    match &part.body {
        PartType::Binary(content) | PartType::InlineBinary(content) => {
            (!part.is_encoding_problem).then(|| content.to_vec())
        }
        PartType::Text(_) | PartType::Html(_) | PartType::Message(_) => {
            let raw = bytes.get(part.raw_body_offset() as usize..part.raw_end_offset() as usize)?;
            match part.encoding {
                Encoding::None => Some(raw.to_vec()),
                Encoding::Base64 => base64_decode(raw),
                Encoding::QuotedPrintable => quoted_printable_decode(raw),
            }
        }
        PartType::Multipart(_) => None,
    }
}

/// `type/subtype` with its parameters, but for the file's name, which has a place of its own.
fn media_type(kind: &ContentType<'_>) -> String {
    let subtype = kind.subtype().unwrap_or("octet-stream");
    let mut text = format!("{}/{subtype}", kind.ctype()).to_ascii_lowercase();
    for attribute in kind.attributes().unwrap_or_default() {
        let (name, value) = (&attribute.name, &attribute.value);
        let simple = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if name.eq_ignore_ascii_case("name") || value.is_empty() {
            continue;
        }
        if value.chars().all(simple) {
            let _ = write!(text, "; {name}={value}");
        } else if value.chars().all(|c| c.is_ascii_graphic() && !"\"\\".contains(c)) {
            let _ = write!(text, "; {name}=\"{value}\"");
        }
    }
    text
}

/// The ending a file of this type usually has.
fn extension(content_type: &str) -> &str {
    let media = content_type.split(';').next().unwrap_or_default();
    match media {
        "text/plain" => "txt",
        "text/calendar" => "ics",
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "message/rfc822" => "eml",
        _ => {
            let subtype = media.split_once('/').map_or("", |(_, subtype)| subtype);
            let plain = subtype.len() <= 5 && subtype.chars().all(|c| c.is_ascii_alphanumeric());
            if plain && !subtype.is_empty() { subtype } else { "bin" }
        }
    }
}
