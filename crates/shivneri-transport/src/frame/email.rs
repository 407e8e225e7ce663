//! Emails on the wire, read back through core's builder so that nothing invalid passes.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use shivneri_core::{Attachment, Email, EmailAddress, Header, Mailbox, MessageId};

use super::{FrameError, uuid, uuid_bytes};
use crate::wire;

pub(crate) fn encode_email(email: &Email) -> Bytes {
    let list = |mailboxes: &[Mailbox]| mailboxes.iter().map(encode_mailbox).collect();
    let since = email.date().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let encoded = wire::Email {
        id: uuid_bytes(email.id().as_uuid()),
        date: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        from: Some(encode_mailbox(email.from())),
        to: list(email.to()),
        cc: list(email.cc()),
        bcc: list(email.bcc()),
        reply_to: list(email.reply_to()),
        subject: email.subject().to_owned(),
        text: email.text().map(str::to_owned),
        html: email.html().map(str::to_owned),
        headers: email
            .headers()
            .iter()
            .map(|one| wire::Header { name: one.name().into(), value: one.value().into() })
            .collect(),
        attachments: email.attachments().iter().map(encode_attachment).collect(),
        tags: email.tags().to_vec(),
        metadata: email.metadata().clone(),
        recipients: email.envelope().recipients().iter().map(ToString::to_string).collect(),
    };
    encoded.encode_to_vec().into()
}

fn encode_mailbox(mailbox: &Mailbox) -> wire::Mailbox {
    wire::Mailbox {
        address: mailbox.address().to_string(),
        name: mailbox.name().unwrap_or_default().to_owned(),
    }
}

fn encode_attachment(file: &Attachment) -> wire::Attachment {
    wire::Attachment {
        filename: file.filename().to_owned(),
        content_type: file.content_type().to_owned(),
        content: file.content().clone(),
        content_id: file.content_id().map(str::to_owned),
    }
}

/// Reads an email; attachments share the bytes given.
pub(crate) fn decode_email(bytes: Bytes) -> Result<Email, FrameError> {
    let wire = wire::Email::decode(bytes).map_err(|error| FrameError::new("body", error))?;
    let from = wire.from.ok_or_else(|| FrameError::new("from", "missing"))?;
    let date = u64::try_from(wire.date)
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or_else(|| FrameError::new("date", "before 1970 or beyond this machine's time"))?;
    let mut builder = Email::builder(decode_mailbox("from", from)?)
        .id(MessageId::from_uuid(uuid("id", &wire.id)?))
        .date(date)
        .subject(wire.subject);
    for one in wire.to {
        builder = builder.to(decode_mailbox("to", one)?);
    }
    for one in wire.cc {
        builder = builder.cc(decode_mailbox("cc", one)?);
    }
    for one in wire.bcc {
        builder = builder.bcc(decode_mailbox("bcc", one)?);
    }
    for one in wire.reply_to {
        builder = builder.reply_to(decode_mailbox("reply_to", one)?);
    }
    for one in wire.headers {
        let header = Header::new(&one.name, &one.value);
        builder = builder.header(header.map_err(|error| FrameError::new("headers", error))?);
    }
    for one in wire.attachments {
        builder = builder.attachment(decode_attachment(one)?);
    }
    builder = wire.tags.into_iter().fold(builder, |b, tag| b.tag(tag));
    builder = wire.metadata.into_iter().fold(builder, |b, (key, value)| b.metadata(key, value));
    builder = wire.text.into_iter().fold(builder, |b, text| b.text(text));
    builder = wire.html.into_iter().fold(builder, |b, html| b.html(html));
    let email = builder.build().map_err(|error| FrameError::new("email", error))?;
    narrow(email, &wire.recipients)
}

fn decode_mailbox(field: &'static str, from: wire::Mailbox) -> Result<Mailbox, FrameError> {
    let address = from.address.parse().map_err(|error| FrameError::new(field, error))?;
    Mailbox::new(Some(&from.name), address).map_err(|error| FrameError::new(field, error))
}

fn decode_attachment(from: wire::Attachment) -> Result<Attachment, FrameError> {
    let file = Attachment::new(&from.filename, &from.content_type, from.content);
    file.and_then(|file| match from.content_id {
        Some(id) => file.inline(&id),
        None => Ok(file),
    })
    .map_err(|error| FrameError::new("attachments", error))
}

/// The email to the envelope's recipients, each of whom must be in one of its lists.
fn narrow(email: Email, recipients: &[String]) -> Result<Email, FrameError> {
    let invalid = |reason: String| FrameError::new("recipients", reason);
    let named: Vec<EmailAddress> = recipients
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| FrameError::new("recipients", error))?;
    let kept: Vec<EmailAddress> = email
        .envelope()
        .recipients()
        .iter()
        .filter(|one| named.iter().any(|name| name.same_mailbox(one)))
        .cloned()
        .collect();
    if kept.len() != named.len() {
        return Err(invalid(format!("{} named, {} known", named.len(), kept.len())));
    }
    if kept.len() == email.envelope().recipients().len() {
        return Ok(email);
    }
    email.only_to(&kept).map_err(|error| FrameError::new("recipients", error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn email() -> Email {
        Email::builder("Asha <asha@example.com>".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .cc(r#""Rao, C" <c@example.org>"#.parse().unwrap())
            .bcc("d@example.org".parse().unwrap())
            .reply_to("e@example.com".parse().unwrap())
            .subject("Grüße")
            .text("")
            .html("<p>hi</p>")
            .header(Header::new("X-Order", "42").unwrap())
            .attachment(
                Attachment::new("a.png", "image/png", Bytes::from_static(b"\0\x01"))
                    .unwrap()
                    .inline("logo")
                    .unwrap(),
            )
            .tag("welcome")
            .metadata("order", "42")
            .build()
            .unwrap()
    }

    #[test]
    fn an_email_survives_the_wire_unchanged() {
        let sent = email();
        assert_eq!(decode_email(encode_email(&sent)).unwrap(), sent);
    }

    #[test]
    fn a_part_of_the_recipients_stays_a_part() {
        let part = email().only_to(&["d@example.org".parse().unwrap()]).unwrap();
        assert_eq!(decode_email(encode_email(&part)).unwrap(), part);
    }

    #[test]
    fn what_core_would_refuse_is_refused_with_its_field() {
        let good = wire::Email::decode(encode_email(&email())).unwrap();
        let bad = |change: fn(&mut wire::Email)| {
            let mut changed = good.clone();
            change(&mut changed);
            decode_email(changed.encode_to_vec().into()).unwrap_err().to_string()
        };
        assert!(bad(|e| e.from = None).starts_with("from"));
        assert!(bad(|e| e.id = Bytes::from_static(b"short")).starts_with("id"));
        assert!(bad(|e| e.date = -1).starts_with("date"));
        assert!(bad(|e| e.to[0].address = "a\r\n@b".into()).starts_with("to"));
        assert!(bad(|e| e.subject = "a\r\nBcc: x@y".into()).contains("subject"));
        assert!(bad(|e| e.headers[0].name = "Bcc".into()).starts_with("headers"));
        assert!(bad(|e| e.attachments[0].filename.clear()).starts_with("attachments"));
        assert!(bad(|e| e.recipients.clear()).starts_with("recipients"));
        assert!(bad(|e| e.recipients.push("z@example.org".into())).starts_with("recipients"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_email_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_email(bytes.into());
        }

        #[test]
        fn a_damaged_email_is_refused_or_still_valid(at in any::<prop::sample::Index>(), with: u8) {
            let mut bytes = encode_email(&email()).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            if let Ok(read) = decode_email(bytes.into()) {
                prop_assert!(!read.subject().contains(['\r', '\n']));
                prop_assert!(!read.envelope().recipients().is_empty());
            }
        }
    }
}
