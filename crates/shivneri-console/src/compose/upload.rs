//! A posted form's body, cut where it grows too large.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, Request, multipart::MultipartRejection},
};
use futures_util::{StreamExt, stream};

/// A form that is being read.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) multipart: Multipart,
    /// Whether more came than was wanted.
    cut: Arc<AtomicBool>,
}

/// How many times the limit is read and thrown away, so that the browser, which reads no answer
/// before it has sent all, gets to see what is wrong.
const PATIENCE: usize = 4;

impl Upload {
    /// Begins to read a form of at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`MultipartRejection`] where it is no `multipart/form-data`.
    pub(crate) async fn of(request: Request, max: usize) -> Result<Self, MultipartRejection> {
        let cut = Arc::new(AtomicBool::new(false));
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, capped(body, max, Arc::clone(&cut)));
        Ok(Self { multipart: Multipart::from_request(request, &()).await?, cut })
    }

    /// Whether the form is larger than was allowed; known at its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }
}

/// The body's beginning. What was complete in it can still be read.
fn capped(body: Body, max: usize, cut: Arc<AtomicBool>) -> Body {
    let chunks = body.into_data_stream();
    Body::from_stream(stream::unfold((chunks, 0), move |(mut chunks, read)| {
        let cut = Arc::clone(&cut);
        async move {
            let chunk: Result<Bytes, axum::Error> = chunks.next().await?;
            let mut total = read + chunk.as_ref().map_or(0, Bytes::len);
            if total <= max {
                return Some((chunk, (chunks, total)));
            }
            cut.store(true, Relaxed);
            while total <= max.saturating_mul(PATIENCE)
                && let Some(Ok(more)) = chunks.next().await
            {
                total += more.len();
            }
            None
        }
    }))
}
