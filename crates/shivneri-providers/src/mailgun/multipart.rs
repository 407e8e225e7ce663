//! `multipart/form-data` (RFC 7578), the same octets each time.
//!
//! Written here because a boundary must not be random, and because Mailgun drops a file that has
//! only `filename*=`: names beyond ASCII stand in a plain `filename`, as browsers write them.

use bytes::Bytes;
use http::HeaderValue;

/// A form that is being written.
#[derive(Debug)]
pub(super) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// A form whose boundary is made of this name; it must not occur in what follows, which holds
    /// for an id that was made after the content.
    pub(super) fn new(name: &str) -> Self {
        Self { boundary: format!("shivneri-{name}"), body: Vec::new() }
    }

    /// The value of `Content-Type`.
    pub(super) fn content_type(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("multipart/form-data; boundary={}", self.boundary))
            .expect("a boundary is made of letters, digits and dashes")
    }

    /// Adds a field.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.part(&format!("name=\"{}\"", quoted(name)), "", value.as_bytes());
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, filename: &str, content_type: &str, content: &[u8]) {
        let disposition = format!("name=\"{name}\"; filename=\"{}\"", quoted(filename));
        self.part(&disposition, &format!("Content-Type: {content_type}\r\n"), content);
    }

    /// The whole body.
    pub(super) fn finish(mut self) -> Bytes {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        Bytes::from(self.body)
    }

    fn part(&mut self, disposition: &str, headers: &str, content: &[u8]) {
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n",
            self.boundary
        );
        self.body.reserve(head.len() + content.len() + 2);
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }
}

/// A name as browsers quote it (WHATWG HTML, multipart form data).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_octet_by_octet_as_expected() {
        let mut form = Form::new("7");
        assert_eq!(form.content_type(), "multipart/form-data; boundary=shivneri-7");
        form.text("to", "Bö <b@example.org>");
        form.file("attachment", "Rechnung \"für\" März.pdf", "application/pdf", &[0, 255]);
        let expected: &[&[u8]] = &[
            b"--shivneri-7\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n",
            "Bö <b@example.org>\r\n".as_bytes(),
            "--shivneri-7\r\nContent-Disposition: form-data; name=\"attachment\"; ".as_bytes(),
            "filename=\"Rechnung %22für%22 März.pdf\"\r\n".as_bytes(),
            b"Content-Type: application/pdf\r\n\r\n\x00\xff\r\n--shivneri-7--\r\n",
        ];
        assert_eq!(form.finish(), expected.concat());
    }
}
