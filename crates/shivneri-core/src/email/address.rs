//! Addresses as in RFC 5321 section 4.1.2 and RFC 6531 (internationalised), and mailboxes with
//! a display name as in RFC 5322 section 3.4.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not an email address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing, or only white space.
    #[error("the address is empty")]
    Empty,
    /// A CR, LF, NUL or another control character.
    #[error("the address holds a control character")]
    Control,
    /// No `@`.
    #[error("the address has no @")]
    NoAt,
    /// The part before the `@` is no dot-atom and no quoted string, or over 64 octets.
    #[error("the part before the @ is not valid (at most 64 octets, no spaces, no empty label)")]
    Local,
    /// The part after the `@` is no domain name, or over 253 octets.
    #[error("the part after the @ is not a domain name")]
    Domain,
    /// The whole is over 254 octets.
    #[error("the address is over 254 octets")]
    TooLong,
    /// The display name or its quotes and angle brackets don't close or don't fit.
    #[error("the text is not of the form `Name <local@domain>`")]
    Form,
}

/// An email address: `local@domain`, internationalised ones included (RFC 6531).
///
/// Holds no control character, at most 64 octets before the `@` and 254 in all
/// (RFC 5321 section 4.5.3.1). The domain is kept as written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, quotes included where it is a quoted string.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Whether the local part is beyond ASCII, so that only a provider with SMTPUTF8 can carry
    /// it. A domain beyond ASCII has an ASCII form (punycode) and needs nothing.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local().is_ascii()
    }

    /// Whether both name the same mailbox: domains are compared without case, local parts as
    /// written (RFC 5321 section 2.4).
    pub fn same_mailbox(&self, other: &Self) -> bool {
        self.local() == other.local()
            && self.domain().to_lowercase() == other.domain().to_lowercase()
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches([' ', '\t']);
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::Control);
        }
        let at = text.rfind('@').ok_or(AddressError::NoAt)?;
        if !is_local(&text[..at]) {
            return Err(AddressError::Local);
        }
        if !is_domain(&text[at + 1..]) {
            return Err(AddressError::Domain);
        }
        if text.len() > 254 {
            return Err(AddressError::TooLong);
        }
        Ok(Self { text: text.to_owned(), at })
    }
}

fn is_local(local: &str) -> bool {
    if local.is_empty() || local.len() > 64 {
        return false;
    }
    match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => is_quoted_content(inner),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    }
}

fn is_quoted_content(inner: &str) -> bool {
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return false,
            '\\' if chars.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        c if c.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(c),
        c => !c.is_whitespace(),
    }
}

fn is_domain(domain: &str) -> bool {
    (1..=253).contains(&domain.len()) && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let edge = |c: char| c == '-';
    (1..=63).contains(&label.len())
        && !label.starts_with(edge)
        && !label.ends_with(edge)
        && label.chars().all(|c| {
            if c.is_ascii() {
                c.is_ascii_alphanumeric() || c == '-'
            } else {
                // Combining marks are part of many scripts' domain labels.
                !c.is_whitespace() && !('\u{2000}'..='\u{206f}').contains(&c)
            }
        })
}

impl TryFrom<String> for EmailAddress {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> String {
        address.text
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// An address with an optional display name: `Asha <asha@example.com>`.
///
/// Parses the RFC 5322 form and writes it again, quoting the name where it must be. A name
/// beyond ASCII is written as it is; providers that need encoded words (RFC 2047) make them.
///
/// ```
/// use shivneri_core::Mailbox;
///
/// let mailbox: Mailbox = r#""Rao, Asha" <asha@example.com>"#.parse()?;
/// assert_eq!(mailbox.name(), Some("Rao, Asha"));
/// assert_eq!(mailbox.to_string(), r#""Rao, Asha" <asha@example.com>"#);
/// # Ok::<(), shivneri_core::email::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    name: Option<String>,
    address: EmailAddress,
}

impl Mailbox {
    /// A mailbox with this display name; an empty one counts as none.
    ///
    /// # Errors
    ///
    /// [`AddressError::Control`] where the name holds a control character.
    pub fn new(name: Option<&str>, address: EmailAddress) -> Result<Self, AddressError> {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        if name.is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(AddressError::Control);
        }
        Ok(Self { name: name.map(str::to_owned), address })
    }

    /// The display name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address.
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }
}

impl From<EmailAddress> for Mailbox {
    fn from(address: EmailAddress) -> Self {
        Self { name: None, address }
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches([' ', '\t']);
        if text.chars().any(char::is_control) {
            return Err(AddressError::Control);
        }
        let Some(rest) = text.strip_suffix('>') else {
            return Ok(text.parse::<EmailAddress>()?.into());
        };
        let (name, address) = rest.rsplit_once('<').ok_or(AddressError::Form)?;
        Self::new(Some(&unquote(name.trim())?), address.parse()?)
    }
}

fn unquote(name: &str) -> Result<String, AddressError> {
    let Some(rest) = name.strip_prefix('"') else {
        // A bare phrase may not hold the characters that give the form its structure.
        return if name.contains(['<', '>', '"', '\\']) {
            Err(AddressError::Form)
        } else {
            Ok(name.to_owned())
        };
    };
    let inner = rest.strip_suffix('"').ok_or(AddressError::Form)?;
    if !is_quoted_content(inner) {
        return Err(AddressError::Form);
    }
    let mut name = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        name.push(if c == '\\' { chars.next().ok_or(AddressError::Form)? } else { c });
    }
    Ok(name)
}

impl TryFrom<String> for Mailbox {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> String {
        mailbox.to_string()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.name else {
            return write!(f, "{}", self.address);
        };
        let plain =
            |c: char| c.is_alphanumeric() || !c.is_ascii() || " !#$%&'*+-/=?^_`{|}~".contains(c);
        if name.chars().all(plain) {
            return write!(f, "{name} <{}>", self.address);
        }
        f.write_str("\"")?;
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\" <{}>", self.address)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_every_script_are_taken() {
        for good in [
            "a@b",
            "first.last+tag@example.co.uk",
            "\"odd @ local\"@example.com",
            "用户@例子.公司",
            "asha@उदाहरण.भारत",
            "o'brien@example.com",
        ] {
            assert_eq!(good.parse::<EmailAddress>().map(|a| a.to_string()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_reason() {
        let long_local = format!("{}@example.com", "x".repeat(65));
        let long_domain = format!("a@{}", vec!["x".repeat(60); 5].join("."));
        for (bad, why) in [
            ("", AddressError::Empty),
            ("a.example.com", AddressError::NoAt),
            ("a@b\r\nBcc: c@d", AddressError::Control),
            ("a\0@b", AddressError::Control),
            ("@example.com", AddressError::Local),
            ("a b@example.com", AddressError::Local),
            ("a..b@example.com", AddressError::Local),
            ("a@b@example.com", AddressError::Local),
            (&long_local, AddressError::Local),
            ("a@", AddressError::Domain),
            ("a@exa mple.com", AddressError::Domain),
            ("a@-example.com", AddressError::Domain),
            ("a@example..com", AddressError::Domain),
            (&long_domain, AddressError::Domain),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_mailbox_is_read_in_each_of_its_forms() {
        for (text, name, address) in [
            ("a@example.com", None, "a@example.com"),
            ("<a@example.com>", None, "a@example.com"),
            ("Asha Rao <a@example.com>", Some("Asha Rao"), "a@example.com"),
            (r#""Rao, A. \"Ash\"" <a@example.com>"#, Some(r#"Rao, A. "Ash""#), "a@example.com"),
            ("Jürgen <j@example.com>", Some("Jürgen"), "j@example.com"),
        ] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!((mailbox.name(), mailbox.address().as_str()), (name, address), "{text}");
        }
        for bad in ["A <a@example.com", "\"A <a@b>", "A <<a@b>", "A\r\n <a@b>"] {
            assert!(bad.parse::<Mailbox>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_mailbox_survives_being_written_and_read(name in "[^\\p{Cc}]{0,30}") {
            let address = "a@example.com".parse().unwrap();
            let mailbox = Mailbox::new(Some(&name), address).unwrap();
            prop_assert_eq!(mailbox.to_string().parse::<Mailbox>(), Ok(mailbox));
        }

        #[test]
        fn no_accepted_text_can_break_a_line(text in any::<String>()) {
            if let Ok(mailbox) = text.parse::<Mailbox>() {
                prop_assert!(!mailbox.to_string().contains(['\r', '\n', '\0']));
            }
        }
    }
}
