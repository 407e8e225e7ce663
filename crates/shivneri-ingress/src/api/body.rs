//! Reading a request's body within bounds.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    problem::{Code, Problem},
    serve::SlowBody,
};

/// Memory is reserved in such pieces.
const PIECE: usize = 64 << 10;

/// Bounds one body, and all that are held at once.
#[derive(Debug)]
pub(super) struct Bodies {
    max_body: usize,
    room: Arc<Semaphore>,
}

/// A body, and the room it takes up until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Eight of the longest bodies may be held at once, or any number of shorter ones that need
    /// no more memory.
    pub(super) fn new(max_body: usize) -> Self {
        let pieces = (max_body.div_ceil(PIECE) * 8).min(Semaphore::MAX_PERMITS);
        Self { max_body, room: Arc::new(Semaphore::new(pieces)) }
    }

    /// Reads a JSON body to its end.
    ///
    /// # Errors
    ///
    /// 415 for another media type, 413 beyond the limit, 408 where it comes too slowly, 400 where
    /// it breaks off, 503 where too much is held already.
    pub(super) async fn json(&self, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
        check_media_type(headers)?;
        let announced = body.size_hint().lower();
        if announced > self.max_body as u64 {
            return Err(self.too_large());
        }
        let mut body = body;
        let mut whole = Pieces::default();
        let mut room: Option<OwnedSemaphorePermit> = None;
        let mut reserved = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            let length = whole.len() + data.len();
            if length > self.max_body {
                return Err(self.too_large());
            }
            if length > reserved {
                let pieces = (length - reserved).div_ceil(PIECE);
                let more = Arc::clone(&self.room).try_acquire_many_owned(pieces as u32);
                let more = more.map_err(|_| {
                    Problem::unavailable("too many large requests are being read at once", 1)
                })?;
                reserved += pieces * PIECE;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            whole.push(data, announced as usize);
            #[cfg(feature = "failpoints")]
            shivneri_failpoint::hit("request.part");
        }
        Ok(Held { bytes: whole.into_bytes(), room })
    }

    fn too_large(&self) -> Problem {
        Problem::new(Code::BodyTooLarge, format!("the body is over {} bytes", self.max_body))
    }
}

/// What has come so far. A body that comes in one piece is taken without a copy.
#[derive(Debug, Default)]
struct Pieces {
    first: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, data: Bytes, announced: usize) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(announced.max(self.first.len() + data.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = match essence {
        "" => "Content-Type is missing; send application/json".to_owned(),
        other => {
            let other: String = other.chars().take(80).collect();
            format!("Content-Type is {other:?}; send application/json")
        }
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// Why a body broke off.
fn broken(error: &axum::Error) -> Problem {
    let mut below: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = below {
        if cause.is::<SlowBody>() {
            return Problem::new(Code::RequestTimeout, cause.to_string());
        }
        below = cause.source();
    }
    Problem::new(Code::NotJson, "the body broke off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> HeaderMap {
        [(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())]
            .into_iter()
            .collect()
    }

    fn streamed(pieces: usize, length: usize) -> Body {
        let piece = Bytes::from(vec![b' '; length]);
        let pieces = vec![piece; pieces].into_iter().map(Ok::<_, std::io::Error>);
        let stream = futures_util::stream::iter(pieces);
        Body::from_stream(stream)
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
        let bodies = Bodies::new(1000);
        assert_eq!(bodies.json(&json(), streamed(10, 100)).await.unwrap().bytes.len(), 1000);
        let refused = bodies.json(&json(), streamed(11, 100)).await.unwrap_err();
        assert_eq!(refused.code, Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn bodies_take_up_no_more_than_eight_of_the_longest() {
        let bodies = Bodies::new(2 * PIECE);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(bodies.json(&json(), streamed(2, PIECE)).await.unwrap());
        }
        let refused = bodies.json(&json(), streamed(1, 1)).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::Unavailable, Some(1)));
        held.pop();
        assert!(bodies.json(&json(), streamed(2, PIECE)).await.is_ok());
    }
}
