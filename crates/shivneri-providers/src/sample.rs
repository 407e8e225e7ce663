//! Emails for the tests of requests.

use bytes::Bytes;
use proptest::prelude::*;
use shivneri_core::{
    Attachment, Email, Header, Mailbox, MessageId,
    draft::{AddressText, AttachmentDraft, Draft},
};
use std::time::{Duration, SystemTime};

/// The id of [`rich`].
pub(crate) const ID: &str = "01926f3e-0000-7000-8000-000000000001";

pub(crate) fn mailbox(text: &str) -> Mailbox {
    text.parse().expect("a test names valid mailboxes")
}

/// One with everything: names beyond ASCII, several recipients of each sort, one of them twice,
/// answers to two, headers, tags, metadata, a file and an inline part.
pub(crate) fn rich() -> Email {
    let file = |name: &str, kind: &str, content: &'static [u8]| {
        Attachment::new(name, kind, Bytes::from_static(content)).expect("a valid attachment")
    };
    Email::builder(mailbox("Jürgen <j@bücher.example>"))
        .id(ID.parse::<MessageId>().expect("a valid id"))
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(1_732_449_600))
        .to(mailbox("\"Rao, Asha\" <asha@example.org>"))
        .to(mailbox("李 <li@例子.example>"))
        .cc(mailbox("cc@example.org"))
        .cc(mailbox("ASHA@example.org"))
        .bcc(mailbox("hidden@example.org"))
        .bcc(mailbox("asha@example.org"))
        .reply_to(mailbox("Büro <office@example.com>"))
        .reply_to(mailbox("second@example.com"))
        .subject("Rechnung für März")
        .text("Hallo")
        .html("<img src=\"cid:logo\">")
        .header(Header::new("X-Order", "42").expect("a valid header"))
        .header(Header::new("X-Ort", "Köln").expect("a valid header"))
        .attachment(file("März.pdf", "application/pdf", b"%PDF"))
        .attachment(file("logo.png", "image/png", b"\x89PNG").inline("logo").expect("a valid id"))
        .tag("invoice")
        .tag("march")
        .metadata("customer", "c-7")
        .metadata("note", "ä b")
        .build()
        .expect("a valid email")
}

/// The least that an email has.
pub(crate) fn plain() -> Email {
    Email::builder(mailbox("a@example.com"))
        .to(mailbox("b@example.org"))
        .text("x")
        .build()
        .expect("a valid email")
}

/// To hidden recipients alone.
pub(crate) fn hidden(recipients: &[&str]) -> Email {
    let builder = Email::builder(mailbox("a@example.com")).subject("s").text("x");
    let all = recipients.iter().map(|text| mailbox(text));
    all.fold(builder, shivneri_core::email::EmailBuilder::bcc).build().expect("a valid email")
}

/// Whatever passes the door.
pub(crate) fn any_email() -> impl Strategy<Value = Email> {
    let address = prop_oneof![
        4 => "[a-zA-Z0-9]{1,8}@[a-z0-9]{1,8}\\.[a-z]{2,3}",
        1 => "[a-z]{1,4}@[a-zäöü例]{1,6}\\.example",
        1 => "[用户a]{1,3}@example\\.org",
    ];
    let name = prop_oneof![Just(None), "\\PC{0,60}".prop_map(Some)];
    let party = (address, name).prop_map(|(email, name)| AddressText::Parts { email, name });
    let list = |max| prop::collection::vec(party.clone(), 0..max);
    let text = || prop::option::of("[^\0]{0,80}");
    let header = ("[!-9;-~]{1,20}", "\\PC{0,80}");
    let file = ("\\PC{1,30}", prop::collection::vec(any::<u8>(), 0..80), any::<bool>());
    let file = file.prop_map(|(filename, content, inline)| AttachmentDraft {
        filename,
        content_type: "text/plain; charset=utf-8".into(),
        content: content.into(),
        content_id: inline.then(|| "part-1".into()),
    });
    let draft = (
        (party.clone(), list(4), list(4), list(4), list(3)),
        ("\\PC{0,200}", text(), text()),
        prop::collection::btree_map(header.0, header.1, 0..4),
        prop::collection::vec(file, 0..3),
        prop::collection::vec("\\PC{1,60}", 0..14),
        prop::collection::btree_map("\\PC{1,40}", "\\PC{0,100}", 0..40),
    );
    draft.prop_filter_map("not every draft passes", |parts| {
        let (
            (from, to, cc, bcc, reply_to),
            (subject, text, html),
            headers,
            attachments,
            tags,
            metadata,
        ) = parts;
        let draft = Draft {
            from: Some(from),
            to,
            cc,
            bcc,
            reply_to,
            subject,
            text,
            html,
            headers,
            attachments,
            tags,
            metadata,
            ..Draft::default()
        };
        draft.check(MessageId::new(), SystemTime::UNIX_EPOCH).ok().map(|checked| checked.email)
    })
}
