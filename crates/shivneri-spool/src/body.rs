//! An email's stored form: a version, a checksum, its structure as JSON, and then the bodies and
//! attachments as they are, so that nothing large is escaped or encoded.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shivneri_core::{Attachment, Email, EmailAddress, Header, Mailbox, MessageId};

const VERSION: u8 = 1;
/// Version, checksum, and the length of the JSON.
const HEAD: usize = 1 + 8 + 4;

/// Why a stored email can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the stored email is cut short")]
    Short,
    #[error("the stored email has version {0}, and this version of the program knows {VERSION}")]
    Version(u8),
    #[error("the stored email's checksum does not fit")]
    Checksum,
    #[error("the stored email does not hold: {0}")]
    Content(String),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: MessageId,
    date: u64,
    from: Address,
    to: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reply_to: Vec<Address>,
    subject: String,
    text: Option<usize>,
    html: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
    /// Only where the envelope is narrower than the headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Address(String, #[serde(default)] Option<String>);

#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    kind: String,
    id: Option<String>,
    bytes: usize,
}

/// The stored form of an email.
pub(crate) fn encode(email: &Email) -> Vec<u8> {
    let list = |mailboxes: &[Mailbox]| mailboxes.iter().map(address).collect();
    let recipients = email.envelope().recipients();
    let stored = Stored {
        id: email.id(),
        date: seconds(email.date()),
        from: address(email.from()),
        to: list(email.to()),
        cc: list(email.cc()),
        bcc: list(email.bcc()),
        reply_to: list(email.reply_to()),
        subject: email.subject().to_owned(),
        text: email.text().map(str::len),
        html: email.html().map(str::len),
        headers: email.headers().iter().map(|h| (h.name().into(), h.value().into())).collect(),
        attachments: email.attachments().iter().map(file).collect(),
        tags: email.tags().to_vec(),
        metadata: email.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        envelope: is_narrowed(email)
            .then(|| recipients.iter().map(|r| r.as_str().to_owned()).collect()),
    };
    let files: usize = email.attachments().iter().map(|file| file.content().len()).sum();
    let texts = stored.text.unwrap_or_default() + stored.html.unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD + 512 + texts + files);
    bytes.resize(HEAD, 0);
    serde_json::to_writer(&mut bytes, &stored)
        .expect("strings and numbers always have a JSON form");
    let json = u32::try_from(bytes.len() - HEAD).expect("a draft's headers are far below 4 GiB");
    bytes.extend_from_slice(email.text().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(email.html().unwrap_or_default().as_bytes());
    for file in email.attachments() {
        bytes.extend_from_slice(file.content());
    }
    bytes[0] = VERSION;
    bytes[9..HEAD].copy_from_slice(&json.to_le_bytes());
    let sum = checksum(&bytes[9..]);
    bytes[1..9].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The email of a stored form.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Email, BodyError> {
    let bytes = Bytes::from(bytes);
    let head = bytes.get(..HEAD).ok_or(BodyError::Short)?;
    if head[0] != VERSION {
        return Err(BodyError::Version(head[0]));
    }
    let word = |range: std::ops::Range<usize>| head[range].try_into().ok();
    let sum = word(1..9).map(u64::from_le_bytes).ok_or(BodyError::Short)?;
    if checksum(&bytes[9..]) != sum {
        return Err(BodyError::Checksum);
    }
    let json = head[9..].try_into().map(u32::from_le_bytes).map_err(|_| BodyError::Short)?;
    let mut rest = bytes.slice(HEAD..);
    let json = cut(&mut rest, json as usize)?;
    let stored: Stored = serde_json::from_slice(&json).map_err(content)?;
    build(stored, rest)
}

fn build(stored: Stored, mut rest: Bytes) -> Result<Email, BodyError> {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(stored.date);
    let mut email =
        Email::builder(mailbox(&stored.from)?).id(stored.id).date(date).subject(stored.subject);
    for one in &stored.to {
        email = email.to(mailbox(one)?);
    }
    for one in &stored.cc {
        email = email.cc(mailbox(one)?);
    }
    for one in &stored.bcc {
        email = email.bcc(mailbox(one)?);
    }
    for one in &stored.reply_to {
        email = email.reply_to(mailbox(one)?);
    }
    if let Some(length) = stored.text {
        email = email.text(text(cut(&mut rest, length)?)?);
    }
    if let Some(length) = stored.html {
        email = email.html(text(cut(&mut rest, length)?)?);
    }
    for (name, value) in &stored.headers {
        email = email.header(Header::new(name, value).map_err(content)?);
    }
    for file in &stored.attachments {
        let octets = cut(&mut rest, file.bytes)?;
        let mut attachment = Attachment::new(&file.name, &file.kind, octets).map_err(content)?;
        if let Some(id) = &file.id {
            attachment = attachment.inline(id).map_err(content)?;
        }
        email = email.attachment(attachment);
    }
    email = stored.tags.into_iter().fold(email, |email, tag| email.tag(tag));
    email = stored.metadata.into_iter().fold(email, |email, (k, v)| email.metadata(k, v));
    let email = email.build().map_err(content)?;
    let Some(envelope) = stored.envelope else { return Ok(email) };
    let recipients: Result<Vec<EmailAddress>, _> =
        envelope.into_iter().map(|text| text.parse().map_err(content)).collect();
    email.only_to(&recipients?).map_err(content)
}

fn content(error: impl ToString) -> BodyError {
    BodyError::Content(error.to_string())
}

fn address(mailbox: &Mailbox) -> Address {
    Address(mailbox.address().as_str().to_owned(), mailbox.name().map(str::to_owned))
}

fn mailbox(Address(address, name): &Address) -> Result<Mailbox, BodyError> {
    Mailbox::new(name.as_deref(), address.parse().map_err(content)?).map_err(content)
}

fn file(attachment: &Attachment) -> File {
    File {
        name: attachment.filename().to_owned(),
        kind: attachment.content_type().to_owned(),
        id: attachment.content_id().map(str::to_owned),
        bytes: attachment.content().len(),
    }
}

/// Whether the envelope leaves out anyone whom the email names as a recipient.
fn is_narrowed(email: &Email) -> bool {
    let named = email.to().iter().chain(email.cc()).chain(email.bcc());
    named.into_iter().any(|mailbox| !email.envelope().includes(mailbox.address()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn cut(rest: &mut Bytes, length: usize) -> Result<Bytes, BodyError> {
    if length > rest.len() { Err(BodyError::Short) } else { Ok(rest.split_to(length)) }
}

fn text(bytes: Bytes) -> Result<String, BodyError> {
    String::from_utf8(bytes.into()).map_err(content)
}

/// A fast check against damage, eight octets a step; none against malice.
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, tail) = bytes.as_chunks::<8>();
    let sum =
        words.iter().fold(bytes.len() as u64, |sum, word| step(sum, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    step(sum, u64::from_le_bytes(last)).wrapping_mul(PRIME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn email(subject: &str, text: Option<&str>, html: Option<&str>, files: &[Vec<u8>]) -> Email {
        let mut email = Email::builder(r#""Rao, \"A\"" <a@example.com>"#.parse().unwrap())
            .to("用户 <b@example.org>".parse().unwrap())
            .cc("c@example.org".parse().unwrap())
            .bcc("d@example.org".parse().unwrap())
            .reply_to("e@example.org".parse().unwrap())
            .subject(subject)
            .header(Header::new("X-Order", "42\t\"a\"").unwrap())
            .tag("welcome")
            .metadata("order", "42");
        if let Some(text) = text {
            email = email.text(text);
        }
        if let Some(html) = html {
            email = email.html(html);
        }
        for file in files {
            let file = Attachment::new("a.pdf", "application/pdf", file.clone().into()).unwrap();
            email = email.attachment(file.inline("logo").unwrap());
        }
        email.build().unwrap()
    }

    proptest! {
        #[test]
        fn an_email_comes_back_as_it_was(
            subject in "[^\\p{Cc}]{0,40}",
            text in proptest::option::of("[^\0]{0,200}"),
            html in "[^\0]{0,200}",
            files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..3),
        ) {
            let email = email(&subject, text.as_deref(), Some(&html), &files);
            prop_assert_eq!(decode(encode(&email)), Ok(email));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_noticed(at: prop::sample::Index, bit in 0_u8..8) {
            let good = encode(&email("hello", Some("some text"), None, &[vec![1, 2, 3]]));
            let at = at.index(good.len());
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            prop_assert!(decode(bad).is_err());
            prop_assert!(decode(good[..at].to_vec()).is_err());
        }
    }

    #[test]
    fn a_narrowed_envelope_is_kept() {
        let narrow = email("x", Some("y"), None, &[]);
        let narrow = narrow.only_to(&["c@example.org".parse().unwrap()]).unwrap();
        assert_eq!(decode(encode(&narrow)), Ok(narrow));
    }
}
