//! Attachments and inline parts.

use bytes::Bytes;

/// Why an attachment can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// Empty, over 255 octets, or with a control character.
    #[error("the file name is empty, over 255 octets, or holds a control character")]
    Filename,
    /// Not `type/subtype` with optional parameters.
    #[error("the content type is not of the form type/subtype")]
    ContentType,
    /// Empty, over 255 octets, or with white space, control characters or angle brackets.
    #[error("the content id is empty, too long, or holds spaces, control characters or <>")]
    ContentId,
}

/// A file that goes with an email. With a content id it is an inline part, which the HTML names
/// as `cid:…` (RFC 2392).
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    filename: String,
    content_type: String,
    content: Bytes,
    content_id: Option<String>,
}

impl Attachment {
    /// Checks and takes a file.
    ///
    /// # Errors
    ///
    /// [`AttachmentError`], which names the part that doesn't fit.
    pub fn new(
        filename: &str,
        content_type: &str,
        content: Bytes,
    ) -> Result<Self, AttachmentError> {
        if !(1..=255).contains(&filename.len()) || filename.chars().any(char::is_control) {
            return Err(AttachmentError::Filename);
        }
        if !is_content_type(content_type) {
            return Err(AttachmentError::ContentType);
        }
        Ok(Self {
            filename: filename.to_owned(),
            content_type: content_type.to_owned(),
            content,
            content_id: None,
        })
    }

    /// Makes it an inline part with this id, without angle brackets.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::ContentId`] where the id is not valid.
    pub fn inline(mut self, content_id: &str) -> Result<Self, AttachmentError> {
        let fits = |c: char| !c.is_control() && !c.is_whitespace() && c != '<' && c != '>';
        if !(1..=255).contains(&content_id.len()) || !content_id.chars().all(fits) {
            return Err(AttachmentError::ContentId);
        }
        self.content_id = Some(content_id.to_owned());
        Ok(self)
    }

    /// The file's name.
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// The media type, as `application/pdf`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The file's octets.
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// The content id of an inline part.
    pub fn content_id(&self) -> Option<&str> {
        self.content_id.as_deref()
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("filename", &self.filename)
            .field("content_type", &self.content_type)
            .field("bytes", &self.content.len())
            .field("content_id", &self.content_id)
            .finish()
    }
}

fn is_content_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    text.len() <= 255
        && !text.chars().any(|c| c.is_control())
        && text.is_ascii()
        && essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_bad_attachment_is_named() {
        let of = |name: &str, kind: &str| Attachment::new(name, kind, Bytes::from_static(b"x"));
        assert_eq!(of("a\r\n.pdf", "a/b"), Err(AttachmentError::Filename));
        assert_eq!(of("", "a/b"), Err(AttachmentError::Filename));
        assert_eq!(of("a.pdf", "pdf"), Err(AttachmentError::ContentType));
        assert_eq!(of("a.pdf", "a/b\r\nX: y"), Err(AttachmentError::ContentType));
        let good = of("a.pdf", "text/plain; charset=utf-8").unwrap();
        assert_eq!(good.clone().inline("<x>"), Err(AttachmentError::ContentId));
        assert_eq!(good.inline("logo").unwrap().content_id(), Some("logo"));
    }
}
