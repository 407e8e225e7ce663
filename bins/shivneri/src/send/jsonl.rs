//! JSON lines: one message object on each line.

use std::io::{self, BufRead, Read};

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::message::{Defaults, to_bytes};

/// Bytes a line may have: more than the server takes, and few enough to hold some in memory.
pub(super) const MAX_LINE: u64 = 64 << 20;

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counts from 1.
    pub(super) number: u64,
    /// Without its line break.
    pub(super) text: Vec<u8>,
    /// Bytes it took in the file, with its break and blank lines before it.
    pub(super) size: u64,
}

/// Reads lines one by one.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// From the start of `reader`.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    /// The next line that isn't blank; `None` at the end.
    ///
    /// # Errors
    ///
    /// What the reader gives; a line over [`MAX_LINE`].
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut size = 0;
        loop {
            let mut text = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            size += read as u64;
            if read as u64 > MAX_LINE {
                let reason = format!("line {} is over {} MiB", self.number, MAX_LINE >> 20);
                return Err(io::Error::other(reason));
            }
            if self.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
                text.drain(..3);
            }
            let trimmed = text.trim_ascii();
            if !trimmed.is_empty() {
                return Ok(Some(Line { number: self.number, text: trimmed.to_vec(), size }));
            }
        }
    }
}

/// The request's body for a line: the line itself, unless the flags add something.
///
/// # Errors
///
/// Why the line is no message.
pub(super) fn body(line: &[u8], defaults: &Defaults) -> Result<bytes::Bytes, String> {
    let not_json = |error: serde_json::Error| {
        if line.starts_with(b"From ") {
            "it is not JSON but looks like an mbox file, which can't be sent yet".to_owned()
        } else {
            format!("it is not JSON: {error}")
        }
    };
    if line.first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(line).map_err(not_json)?;
        return Err("it is not a JSON object".into());
    }
    if defaults.is_empty() {
        serde_json::from_slice::<IgnoredAny>(line).map_err(not_json)?;
        return Ok(bytes::Bytes::copy_from_slice(line));
    }
    let mut message: Map<String, Value> = serde_json::from_slice(line).map_err(not_json)?;
    defaults.apply(&mut message);
    Ok(to_bytes(&message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::SendArgs;

    fn lines(text: &[u8]) -> Vec<(u64, String, u64)> {
        let mut lines = Lines::new(text);
        std::iter::from_fn(|| lines.next_line().unwrap())
            .map(|line| (line.number, String::from_utf8(line.text).unwrap(), line.size))
            .collect()
    }

    #[test]
    fn blank_lines_count_but_are_no_messages_and_any_line_break_will_do() {
        let read = lines(b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{}\n{\"b\":2}");
        let expected = [(1, "{\"a\":1}", 12), (4, "{}", 7), (5, "{\"b\":2}", 7)];
        assert_eq!(read, expected.map(|(number, text, size)| (number, text.to_owned(), size)));
    }

    #[test]
    fn a_line_goes_out_as_it_stands_unless_the_flags_add_to_it() {
        let line = br#"{ "subject":"s",  "x":1.50 }"#;
        assert_eq!(body(line, &Defaults::default()).unwrap(), &line[..]);
        let args = SendArgs { lane: Some("bulk".into()), ..SendArgs::default() };
        let with_lane = body(br#"{"subject":"s"}"#, &Defaults::from_args(&args)).unwrap();
        assert_eq!(with_lane, &br#"{"lane":"bulk","subject":"s"}"#[..]);
    }

    #[test]
    fn a_line_that_is_no_message_is_refused_with_the_reason() {
        for (line, reason) in [
            ("{\"a\":", "not JSON"),
            ("[1]", "not a JSON object"),
            ("to,subject", "not JSON"),
            ("From a@b Mon", "mbox"),
        ] {
            let error = body(line.as_bytes(), &Defaults::default()).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
