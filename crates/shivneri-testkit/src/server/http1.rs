//! As much of HTTP/1.1 (RFC 9112) as a test server needs: reading a request's head and body,
//! writing an answer. No I/O here.

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;

use super::{Answer, find_header};

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// Takes a whole head off the front of `buffer`; `None` where its end has not come yet.
    pub(super) fn take(buffer: &mut BytesMut) -> Option<Result<Self, Malformed>> {
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = buffer.split_to(end);
        buffer.advance(4);
        Some(Self::parse(&head))
    }

    fn parse(head: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(head).map_err(|_| Malformed)?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed);
        };
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or(Malformed)?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { method: method.to_owned(), path: path.to_owned(), headers })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    pub(super) fn asks_to_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// How the body's end is told.
    pub(super) fn body(&self) -> Result<BodyReader, Malformed> {
        let chunked = self.header("transfer-encoding").is_some_and(|coding| {
            coding
                .rsplit(',')
                .next()
                .is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        });
        if chunked {
            return Ok(BodyReader::Chunked { left: 0, state: Chunk::Size });
        }
        let length = self.header("content-length").map(str::parse).transpose();
        Ok(BodyReader::Length { left: length.map_err(|_| Malformed)?.unwrap_or(0) })
    }
}

/// What came is not HTTP/1.1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where in a chunk the reader is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Content,
    End,
    Trailer,
    Done,
}

/// Takes a body out of the bytes that arrive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyReader {
    Length { left: usize },
    Chunked { left: usize, state: Chunk },
}

impl BodyReader {
    /// The body's length where its head tells it.
    pub(super) fn announced(&self) -> Option<usize> {
        match self {
            Self::Length { left } => Some(*left),
            Self::Chunked { .. } => None,
        }
    }

    /// Moves what has arrived from `buffer` to `body`; whether the body is whole now.
    pub(super) fn take(
        &mut self,
        buffer: &mut BytesMut,
        body: &mut BytesMut,
    ) -> Result<bool, Malformed> {
        match self {
            Self::Length { left } => {
                move_some(buffer, body, left);
                Ok(*left == 0)
            }
            Self::Chunked { left, state } => {
                while *state != Chunk::Done {
                    match state {
                        Chunk::Size => {
                            let Some(line) = take_line(buffer) else { return Ok(false) };
                            *left = chunk_size(&line)?;
                            *state = if *left == 0 { Chunk::Trailer } else { Chunk::Content };
                        }
                        Chunk::Content => {
                            move_some(buffer, body, left);
                            if *left > 0 {
                                return Ok(false);
                            }
                            *state = Chunk::End;
                        }
                        Chunk::End => match take_line(buffer) {
                            Some(line) if line.is_empty() => *state = Chunk::Size,
                            Some(_) => return Err(Malformed),
                            None => return Ok(false),
                        },
                        Chunk::Trailer => {
                            let Some(line) = take_line(buffer) else { return Ok(false) };
                            if line.is_empty() {
                                *state = Chunk::Done;
                            }
                        }
                        Chunk::Done => {}
                    }
                }
                Ok(true)
            }
        }
    }
}

fn move_some(buffer: &mut BytesMut, body: &mut BytesMut, left: &mut usize) {
    let some = buffer.split_to(buffer.len().min(*left));
    *left -= some.len();
    body.extend_from_slice(&some);
}

fn take_line(buffer: &mut BytesMut) -> Option<BytesMut> {
    let end = buffer.windows(2).position(|two| two == b"\r\n")?;
    let line = buffer.split_to(end);
    buffer.advance(2);
    Some(line)
}

fn chunk_size(line: &[u8]) -> Result<usize, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let size = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(size, 16).map_err(|_| Malformed)
}

/// The answer as it goes over the wire; `to` is the request's method, since HEAD gets no body.
pub(super) fn write_answer(answer: &Answer, to: &str) -> Bytes {
    let mut text = status_line(answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_body = !matches!(answer.status, 100..=199 | 204 | 304);
    let framed = ["content-length", "transfer-encoding"].map(|name| answer.header(name).is_some());
    if has_body && framed == [false, false] {
        text.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    text.push_str("\r\n");
    let mut wire = text.into_bytes();
    if has_body && to != "HEAD" {
        wire.extend_from_slice(&answer.body);
    }
    wire.into()
}

pub(super) fn status_line(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, piece: usize) -> (Head, String, String) {
        let mut buffer = BytesMut::new();
        let mut body = BytesMut::new();
        let mut head = None;
        let mut reader = None;
        for part in text.as_bytes().chunks(piece) {
            buffer.extend_from_slice(part);
            if head.is_none()
                && let Some(whole) = Head::take(&mut buffer)
            {
                let whole = whole.unwrap();
                reader = Some(whole.body().unwrap());
                head = Some(whole);
            }
            if let Some(reader) = &mut reader {
                reader.take(&mut buffer, &mut body).unwrap();
            }
        }
        let text = |bytes: &BytesMut| String::from_utf8(bytes.to_vec()).unwrap();
        (head.unwrap(), text(&body), text(&buffer))
    }

    #[test]
    fn a_request_reads_the_same_however_it_is_cut_into_packets() {
        let length = "POST /a?b=c HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\n\r\nhelloGET";
        let chunked = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                       2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: y\r\n\r\nGET";
        for text in [length, chunked] {
            for piece in [1, 2, 3, 7, text.len()] {
                let (head, body, rest) = read(text, piece);
                assert_eq!((head.method.as_str(), head.path.as_str()), ("POST", "/a?b=c"));
                assert_eq!(head.header("HOST"), Some("x"));
                assert_eq!((body.as_str(), rest.as_str()), ("hello", "GET"), "in {piece}s");
            }
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in ["GET / HTTP/1.0", "GET /", "GET / x HTTP/1.1", "GET / HTTP/1.1\r\nno colon"] {
            let mut buffer = BytesMut::from(format!("{text}\r\n\r\n").as_str());
            assert_eq!(Head::take(&mut buffer), Some(Err(Malformed)), "{text:?}");
        }
        let mut chunks = BodyReader::Chunked { left: 0, state: Chunk::Size };
        let mut buffer = BytesMut::from("zz\r\n");
        assert_eq!(chunks.take(&mut buffer, &mut BytesMut::new()), Err(Malformed));
    }

    #[test]
    fn an_answer_tells_its_length_unless_it_has_none_or_a_wish_of_its_own() {
        let wire =
            |answer: &Answer| String::from_utf8(write_answer(answer, "POST").into()).unwrap();
        assert_eq!(wire(&Answer::new(200, "hi")), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(wire(&Answer::new(204, "")), "HTTP/1.1 204 No Content\r\n\r\n");
        let mut odd = Answer::new(299, "hi");
        odd.headers.push(("content-length".into(), "9".into()));
        assert_eq!(wire(&odd), "HTTP/1.1 299 Unknown\r\ncontent-length: 9\r\n\r\nhi");
    }
}
