//! Emails to test with.

use bytes::Bytes;
use shivneri_core::{Attachment, Email, email::EmailBuilder};

/// Begins an email with a subject and a text.
///
/// # Panics
///
/// Where an address is not valid.
pub fn builder_from_to(from: &str, to: &str) -> EmailBuilder {
    Email::builder(from.parse().expect("the sender's address is valid"))
        .to(to.parse().expect("the recipient's address is valid"))
        .subject("A test")
        .text("Nothing but a test.")
}

/// An email with a subject and a text.
///
/// # Panics
///
/// Where an address is not valid.
pub fn email_from_to(from: &str, to: &str) -> Email {
    builder_from_to(from, to).build().expect("addresses and text are all an email needs")
}

/// One of many: `mail(7)` goes to `recipient7@example.org` with the subject `Mail 7`.
pub fn mail(n: u64) -> Email {
    builder_from_to("sender@example.com", &format!("recipient{n}@example.org"))
        .subject(format!("Mail {n}"))
        .build()
        .expect("addresses and text are all an email needs")
}

/// An email with an attachment of that many bytes.
pub fn mail_of_size(bytes: usize) -> Email {
    builder_from_to("sender@example.com", "recipient@example.org")
        .attachment(attachment("large.bin", bytes))
        .build()
        .expect("addresses and text are all an email needs")
}

/// An attachment of that many zero bytes.
///
/// # Panics
///
/// Where the file name is not valid.
pub fn attachment(filename: &str, bytes: usize) -> Attachment {
    Attachment::new(filename, "application/octet-stream", Bytes::from(vec![0; bytes]))
        .expect("the file name is valid")
}
