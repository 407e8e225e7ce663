//! The emails that the suite sends.

use bytes::Bytes;
use shivneri_core::{Attachment, Capabilities, Email, email::EmailBuilder};

use super::{RECIPIENTS, SENDER};
use crate::mail;

/// A subject that no answer and no error has any reason to hold.
pub(super) const SUBJECT: &str = "The kettle in the harbour office";
/// A text that no answer and no error has any reason to hold.
pub(super) const TEXT: &str = "Bring the blue cup when the tide is out.";

fn begin() -> EmailBuilder {
    let [to, cc, bcc] = RECIPIENTS.map(|address| address.parse().expect("a valid address"));
    Email::builder(SENDER.parse().expect("a valid address"))
        .to(to)
        .cc(cc)
        .bcc(bcc)
        .subject(SUBJECT)
        .text(TEXT)
        .html(format!("<p>{TEXT}</p>"))
}

/// One with to, cc, bcc, text and HTML.
pub(super) fn ordinary() -> Email {
    begin().build().expect("all fields are valid")
}

/// One with a small file.
pub(super) fn with_file() -> Email {
    let file = mail::attachment("harbour.bin", 64);
    begin().attachment(file).build().expect("all fields are valid")
}

/// One that no socket's buffers hold whole; `None` where the provider carries none such.
pub(super) fn large(capabilities: &Capabilities) -> Option<Email> {
    [8, 6, 4].into_iter().find_map(|mebibytes| {
        let email = begin()
            .attachment(mail::attachment("harbour.bin", mebibytes << 20))
            .build()
            .expect("all fields are valid");
        capabilities.refusal(&email).is_none().then_some(email)
    })
}

/// One whose names, subject, texts and file name are beyond ASCII; its addresses are not.
pub(super) fn international() -> Email {
    let file = Attachment::new("přehled 日本 🫖.txt", "text/plain", Bytes::from_static(b"tea"))
        .expect("a valid file name");
    Email::builder(format!("\"Jürgen Größe\" <{SENDER}>").parse().expect("a valid mailbox"))
        .to(format!("山田 太郎 <{}>", RECIPIENTS[0]).parse().expect("a valid mailbox"))
        .subject("Ünïcödé – テスト 🫖, שלום")
        .text("Grüße aus Łódź.\n.\nA dot alone on its line, and 日本語.\n")
        .html("<p>Grüße aus Łódź, 日本語 &amp; 🫖</p>")
        .attachment(file)
        .build()
        .expect("all fields are valid")
}
