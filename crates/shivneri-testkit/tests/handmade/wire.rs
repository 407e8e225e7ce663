//! One request and its answer, on a connection of their own.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

pub(super) struct Exchange {
    pub(super) authority: String,
    pub(super) request: Vec<u8>,
    /// Set once the last byte of the request is with the kernel.
    pub(super) handed_over: Arc<AtomicBool>,
    /// Bytes of the answer's body that are read at most; the rest is left.
    pub(super) limit: usize,
}

#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    pub(super) text: String,
}

pub(super) async fn exchange(call: Exchange) -> io::Result<Response> {
    let mut stream = TcpStream::connect(&call.authority).await?;
    stream.write_all(&call.request).await?;
    call.handed_over.store(true, Ordering::SeqCst);
    let mut stream = BufReader::new(stream);
    let mut response = Response::default();
    let mut framing = (0, false);
    let status_line = line(&mut stream).await?;
    response.status = status_line.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    loop {
        let header = line(&mut stream).await?;
        let Some((name, value)) = header.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => framing.0 = value.parse().unwrap(),
            "transfer-encoding" => framing.1 = true,
            "retry-after" => response.retry_after = Some(value.to_owned()),
            "location" => response.location = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = Vec::new();
    let (length, chunked) = framing;
    if chunked {
        while body.len() < call.limit {
            let size = usize::from_str_radix(&line(&mut stream).await?, 16).unwrap();
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
