//! Custom headers (RFC 5322 section 2.2).

/// Why a custom header can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Empty, over 76 characters, or with anything but visible ASCII, or with a colon.
    #[error("{0:?} is not a header name: 1 to 76 visible ASCII characters without a colon")]
    Name(String),
    /// A header that Shivneri writes itself from the email's own fields.
    #[error("{0} is set from the email's own fields and can't be given as a header")]
    Structural(String),
    /// A CR, LF, NUL or another control character but tab, or over 8,192 octets.
    #[error("the value of {0} holds a control character or is over 8,192 octets")]
    Value(String),
}

/// A custom header: a name and a value that can't break out of their line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

/// Headers written from the email's own fields, or by the hosts that pass it on.
const STRUCTURAL: [&str; 13] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "dkim-signature",
];

impl Header {
    /// Checks and takes a header.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], which names the header: a name or value that is not valid, or a
    /// structural name (From, To, Cc, Bcc, Subject, Content-*, X-Shivneri-* and the like).
    pub fn new(name: &str, value: &str) -> Result<Self, HeaderError> {
        let visible = |b: u8| (0x21..=0x7e).contains(&b) && b != b':';
        if !(1..=76).contains(&name.len()) || !name.bytes().all(visible) {
            return Err(HeaderError::Name(name.chars().take(80).collect()));
        }
        let lower = name.to_ascii_lowercase();
        if STRUCTURAL.contains(&lower.as_str())
            || lower.starts_with("content-")
            || lower.starts_with("x-shivneri-")
        {
            return Err(HeaderError::Structural(name.to_owned()));
        }
        if value.len() > 8192 || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(HeaderError::Value(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// The name, as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, unfolded.
    pub fn value(&self) -> &str {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structural_headers_are_refused_in_any_case() {
        for name in
            ["From", "TO", "bcc", "Content-Type", "content-id", "X-Shivneri-Lane", "Subject"]
        {
            assert_eq!(Header::new(name, "x"), Err(HeaderError::Structural(name.to_owned())));
        }
    }

    #[test]
    fn nothing_can_smuggle_a_second_header() {
        for value in ["a\r\nBcc: b@c", "a\nb", "a\rb", "a\0b"] {
            assert!(matches!(Header::new("X-Order", value), Err(HeaderError::Value(_))));
        }
        for name in ["", "X Order", "X-Order:", "X\r\nBcc", "Ünicode"] {
            assert!(matches!(Header::new(name, "x"), Err(HeaderError::Name(_))));
        }
    }
}
