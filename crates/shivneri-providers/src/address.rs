//! Addresses in the forms that providers take: domains in punycode (RFC 5891), names as encoded
//! words (RFC 2047) or as they are.

use std::borrow::Cow;

use shivneri_core::{Capabilities, Email, EmailAddress, Failure, Mailbox, SendError};

use crate::rfc2047;

/// Refuses what this provider can't carry: certainly not sent, another one may.
pub(crate) fn unsupported(detail: impl Into<String>) -> SendError {
    SendError::new(Failure::Unsupported, detail)
}

/// Refuses an email that is beyond these capabilities. Whoever picks the provider asks them too;
/// asked again here, a narrowed email can't reach people whom only its headers name.
pub(crate) fn check(capabilities: &Capabilities, email: &Email) -> Result<(), SendError> {
    capabilities.refusal(email).map_or(Ok(()), |refusal| Err(unsupported(refusal)))
}

/// A domain in ASCII.
pub(crate) fn domain(domain: &str) -> Result<Cow<'_, str>, SendError> {
    if domain.is_ascii() {
        return Ok(Cow::Borrowed(domain));
    }
    idna::domain_to_ascii(domain)
        .map(Cow::Owned)
        .map_err(|_| unsupported("a domain has no ASCII form"))
}

/// An address in ASCII.
pub(crate) fn ascii(address: &EmailAddress) -> Result<String, SendError> {
    if address.needs_smtputf8() {
        return Err(unsupported("an address has a local part beyond ASCII"));
    }
    Ok(format!("{}@{}", address.local(), domain(address.domain())?))
}

/// A mailbox as a header of pure ASCII shows it.
pub(crate) fn encoded(mailbox: &Mailbox) -> Result<String, SendError> {
    let address = ascii(mailbox.address())?;
    match mailbox.name() {
        Some(name) if rfc2047::needs_encoding(name) => {
            Ok(format!("{} <{address}>", rfc2047::encode(name)))
        }
        Some(_) => plain(mailbox),
        None => Ok(address),
    }
}

/// A mailbox with its name as it is and its address in ASCII.
pub(crate) fn plain(mailbox: &Mailbox) -> Result<String, SendError> {
    let address = ascii(mailbox.address())?.parse();
    let address = address.map_err(|_| unsupported("an address is too long in ASCII"))?;
    let mailbox = Mailbox::new(mailbox.name(), address);
    mailbox.map(|mailbox| mailbox.to_string()).map_err(|_| unsupported("a name can't be shown"))
}

/// The `Message-ID` in ASCII.
pub(crate) fn message_id(email: &Email) -> Result<String, SendError> {
    let header = email.message_id_header();
    let (local, host) = header.trim_matches(['<', '>']).rsplit_once('@').unwrap_or((&header, ""));
    Ok(format!("<{local}@{}>", domain(host)?))
}

/// Who gets the email and how it shows, each mailbox once: `to` wins over `cc`, `cc` over `bcc`.
///
/// Who is in the envelope and in no header is a hidden recipient; who is in a header and not in
/// the envelope is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recipients {
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
}

impl Recipients {
    /// The email's recipients; two addresses are one where `key` is the same.
    pub(crate) fn of(email: &Email, key: fn(&EmailAddress) -> String) -> Self {
        let mut seen = Vec::new();
        let mut once = |mailbox: &&Mailbox| {
            let address = mailbox.address();
            let fresh = email.envelope().includes(address) && !seen.contains(&key(address));
            if fresh {
                seen.push(key(address));
            }
            fresh
        };
        let to = email.to().iter().filter(&mut once).cloned().collect();
        let cc = email.cc().iter().filter(&mut once).cloned().collect();
        let hidden: Vec<Mailbox> =
            email.envelope().recipients().iter().cloned().map(Mailbox::from).collect();
        let bcc = email.bcc().iter().chain(&hidden).filter(&mut once).cloned().collect();
        Self { to, cc, bcc }
    }

    /// For services that want a primary recipient: without one, those of the copy become primary.
    /// All of them see the same addresses as before, only under another header.
    pub(crate) fn with_primary(mut self) -> Self {
        if self.to.is_empty() {
            self.to = std::mem::take(&mut self.cc);
        }
        self
    }
}

/// Domains are compared without case, local parts as written.
pub(crate) fn exactly(address: &EmailAddress) -> String {
    format!("{}@{}", address.local(), address.domain().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_domains_beyond_ascii_become_ascii() {
        for (text, ascii) in [
            ("b@example.org", "b@example.org"),
            ("Bo <b@example.org>", "Bo <b@example.org>"),
            (r#""Rao, A." <a@example.org>"#, r#""Rao, A." <a@example.org>"#),
            ("Jürgen <j@bücher.example>", "=?utf-8?B?SsO8cmdlbg==?= <j@xn--bcher-kva.example>"),
            ("=?utf-8?q?x?= <j@b.c>", "=?utf-8?B?PT91dGYtOD9xP3g/PQ==?= <j@b.c>"),
        ] {
            assert_eq!(encoded(&mailbox(text)).unwrap(), ascii, "{text}");
        }
        assert_eq!(
            plain(&mailbox("Jürgen <j@bücher.example>")).unwrap(),
            "Jürgen <j@xn--bcher-kva.example>"
        );
        let local = mailbox("用户@example.org");
        assert_eq!(encoded(&local).unwrap_err().failure(), &Failure::Unsupported);
    }

    #[test]
    fn each_recipient_is_named_once_and_only_if_the_envelope_has_it() {
        let email = Email::builder(mailbox("a@example.com"))
            .to(mailbox("One <one@example.org>"))
            .to(mailbox("one@EXAMPLE.org"))
            .cc(mailbox("one@example.org"))
            .cc(mailbox("two@example.org"))
            .bcc(mailbox("two@example.org"))
            .bcc(mailbox("Three <three@example.org>"))
            .text("x")
            .build()
            .unwrap();
        let all = Recipients::of(&email, exactly);
        assert_eq!(all.to, [mailbox("One <one@example.org>")]);
        assert_eq!(all.cc, [mailbox("two@example.org")]);
        assert_eq!(all.bcc, [mailbox("Three <three@example.org>")]);
        let part = email.only_to(&["three@example.org".parse().unwrap()]).unwrap();
        let part = Recipients::of(&part, exactly);
        assert!(part.to.is_empty() && part.cc.is_empty());
        assert_eq!(part.bcc.len(), 1);
    }

    #[test]
    fn a_copy_without_a_primary_recipient_becomes_primary() {
        let email = Email::builder(mailbox("a@example.com"))
            .cc(mailbox("two@example.org"))
            .bcc(mailbox("three@example.org"))
            .text("x")
            .build()
            .unwrap();
        let all = Recipients::of(&email, exactly).with_primary();
        assert_eq!((all.to.len(), all.cc.len(), all.bcc.len()), (1, 0, 1));
    }
}
