//! One TCP connection: reads requests and treats each as the script says.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    Answer, Recorded, Reply,
    http1::{BodyReader, Head, Malformed, status_line, write_answer},
    state::Shared,
};

/// A head longer than this is none.
const MAX_HEAD: usize = 256 * 1024;
/// What [`Reply::ResetInBody`] reads at most; less than half of what is announced.
const SOME_BODY: usize = 64 * 1024;
const HUGE_CHUNK: usize = 64 * 1024;
static FILLER: [u8; HUGE_CHUNK] = [b'x'; HUGE_CHUNK];

/// Counts the connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Open {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.change(|state| state.connections += 1);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(|state| state.closed += 1);
    }
}

/// Serves until the client goes or a reply ends the connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Declared before the connection, so that it is counted as closed only once it is.
    let open = Open::begin(shared);
    let shared = &open.0;
    let mut connection = Connection { stream, buffer: BytesMut::new(), shared };
    if shared.resets_on_connect() {
        // An error here means that the client was quicker.
        let _ = connection.stream.set_zero_linger();
        return;
    }
    // An error is the client's going away, which is no business of the test server.
    while let Ok(Some(head)) = connection.head().await {
        let reply = shared.next_reply();
        match connection.play(head, reply).await {
            Ok(After::Keep) => {}
            Ok(After::Close) | Err(_) => break,
        }
    }
}

/// What becomes of the connection after a reply.
enum After {
    Keep,
    Close,
}

/// How much of a request is read before the reply strikes.
enum Extent {
    Head,
    SomeBody,
    All,
}

fn extent(reply: &Reply) -> Extent {
    match reply {
        Reply::ResetOnConnect
        | Reply::ResetBeforeBody
        | Reply::AnswerBeforeBody(_)
        | Reply::StallBeforeBody => Extent::Head,
        Reply::ResetInBody => Extent::SomeBody,
        Reply::Answer(_)
        | Reply::ResetAfterBody
        | Reply::ResetInAnswer
        | Reply::CloseInAnswer
        | Reply::CloseAfterBody
        | Reply::Stall
        | Reply::Trickle { .. }
        | Reply::Huge { .. }
        | Reply::CloseIdle(_) => Extent::All,
    }
}

struct Connection<'a> {
    stream: TcpStream,
    buffer: BytesMut,
    shared: &'a Shared,
}

impl Connection<'_> {
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::take(&mut self.buffer) {
                return head.map(Some).map_err(not_http);
            }
            if self.buffer.len() > MAX_HEAD || self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the body, or as much of it as the reply lets through; whether the client stayed.
    async fn body(&mut self, head: &Head, extent: Extent) -> io::Result<(Bytes, bool)> {
        let mut reader = head.body().map_err(not_http)?;
        let enough = match extent {
            Extent::Head => return Ok((Bytes::new(), true)),
            Extent::SomeBody => {
                reader.announced().map_or(SOME_BODY, |bytes| SOME_BODY.min(bytes / 2))
            }
            Extent::All => usize::MAX,
        };
        if head.expects_continue() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut body = BytesMut::new();
        let stayed = self.read_body(&mut reader, &mut body, enough).await?;
        Ok((body.freeze(), stayed))
    }

    async fn read_body(
        &mut self,
        reader: &mut BodyReader,
        body: &mut BytesMut,
        enough: usize,
    ) -> io::Result<bool> {
        while !reader.take(&mut self.buffer, body).map_err(not_http)? && body.len() < enough {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(false),
                Ok(_) => {}
            }
        }
        Ok(true)
    }

    async fn play(&mut self, head: Head, reply: Reply) -> io::Result<After> {
        let (body, stayed) = self.body(&head, extent(&reply)).await?;
        let after = if head.asks_to_close() { After::Close } else { After::Keep };
        let Head { method, path, headers } = head;
        let record = Recorded { method: method.clone(), path, headers, body };
        self.shared.change(|state| state.requests.push(record));
        if !stayed {
            return Ok(After::Close);
        }
        match reply {
            Reply::Answer(answer) => {
                self.write(&write_answer(&answer, &method)).await?;
                let closes = answer.header("connection").is_some_and(|value| value == "close");
                Ok(if closes { After::Close } else { after })
            }
            Reply::AnswerBeforeBody(answer) => {
                self.write(&write_answer(&answer, &method)).await?;
                self.stream.shutdown().await?;
                self.drain().await
            }
            Reply::CloseIdle(answer) => {
                self.write(&write_answer(&answer, &method)).await?;
                Ok(After::Close)
            }
            Reply::ResetOnConnect
            | Reply::ResetBeforeBody
            | Reply::ResetInBody
            | Reply::ResetAfterBody => self.reset(),
            Reply::ResetInAnswer => {
                self.half_answer().await?;
                self.reset()
            }
            Reply::CloseInAnswer => {
                self.half_answer().await?;
                Ok(After::Close)
            }
            Reply::CloseAfterBody => Ok(After::Close),
            Reply::StallBeforeBody => std::future::pending().await,
            Reply::Stall => self.drain().await,
            Reply::Trickle { answer, every } => {
                for byte in write_answer(&answer, &method) {
                    sleep(every).await;
                    self.write(&[byte]).await?;
                }
                Ok(after)
            }
            Reply::Huge { status, bytes } => {
                self.huge(status, bytes).await?;
                Ok(after)
            }
        }
    }

    /// Throws away what comes until the client goes: closing on unread bytes would be a reset.
    async fn drain(&mut self) -> io::Result<After> {
        while self.stream.read_buf(&mut self.buffer).await? > 0 {
            self.buffer.clear();
        }
        Ok(After::Close)
    }

    fn reset(&mut self) -> io::Result<After> {
        self.stream.set_zero_linger()?;
        Ok(After::Close)
    }

    async fn half_answer(&mut self) -> io::Result<()> {
        let mut answer = Answer::new(200, r#"{"id":"#);
        answer.headers.push(("Content-Type".into(), "application/json".into()));
        answer.headers.push(("Content-Length".into(), "100".into()));
        self.write(&write_answer(&answer, "POST")).await
    }

    async fn huge(&mut self, status: u16, bytes: u64) -> io::Result<()> {
        let head = status_line(status) + "Transfer-Encoding: chunked\r\n\r\n";
        self.write(head.as_bytes()).await?;
        let mut left = bytes;
        while left > 0 {
            let chunk = left.min(HUGE_CHUNK as u64);
            self.write(format!("{chunk:x}\r\n").as_bytes()).await?;
            self.write(&FILLER[..chunk as usize]).await?;
            self.write(b"\r\n").await?;
            left -= chunk;
        }
        self.write(b"0\r\n\r\n").await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.stream.write(bytes).await?;
            self.shared.change(|state| state.answered_bytes += written as u64);
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

fn not_http(Malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not HTTP/1.1")
}
