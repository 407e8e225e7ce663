//! One request and its answer.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// How far an exchange has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    const CONNECTED: u8 = 1;
    const HANDED_OVER: u8 = 2;

    pub(super) fn is_connected(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= Self::CONNECTED
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= Self::HANDED_OVER
    }
}

pub(super) struct Exchange {
    pub(super) authority: String,
    pub(super) request: Vec<u8>,
    pub(super) progress: Progress,
    /// A connection from before, used as it is.
    pub(super) kept: Option<BufReader<TcpStream>>,
    /// Bytes of the answer's body that are read at most; the rest is left.
    pub(super) limit: usize,
}

#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    pub(super) text: String,
    pub(super) stream: Option<BufReader<TcpStream>>,
}

pub(super) async fn exchange(call: Exchange) -> io::Result<Response> {
    let mut stream = match call.kept {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(&call.authority).await?),
    };
    call.progress.0.store(Progress::CONNECTED, Ordering::SeqCst);
    stream.write_all(&call.request).await?;
    call.progress.0.store(Progress::HANDED_OVER, Ordering::SeqCst);
    let mut response = Response::default();
    let status_line = line(&mut stream).await?;
    response.status = status_line.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(&mut stream).await?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = true,
            "retry-after" => response.retry_after = Some(value.to_owned()),
            "location" => response.location = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        while body.len() < call.limit {
            let size = line(&mut stream).await?;
            let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
            append(&mut stream, &mut body, size).await?;
            line(&mut stream).await?;
            if size == 0 {
                break;
            }
        }
    } else {
        append(&mut stream, &mut body, length).await?;
    }
    response.text = String::from_utf8_lossy(&body).into_owned();
    response.stream = Some(stream);
    Ok(response)
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn append(
    stream: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    size: usize,
) -> io::Result<()> {
    let start = body.len();
    body.resize(start + size, 0);
    stream.read_exact(&mut body[start..]).await.map(|_| ())
}
