//! A request body that knows whether its last byte has been taken.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

const PIECE: usize = 64 << 10;

const UNTOUCHED: u8 = 0;
const BEGUN: u8 = 1;
const DONE: u8 = 2;

/// How far a body has been handed over.
///
/// A client takes the first piece only once it has a connection, and takes the last one before
/// it writes it, so `is_handed_over` may say yes a little too early and never too late.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    /// Whether a connection was there to take something.
    pub(crate) fn is_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != UNTOUCHED
    }

    /// Whether the last byte was taken.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == DONE
    }
}

/// A body of known length, given out in pieces.
#[derive(Debug)]
pub(crate) struct Handover {
    rest: Bytes,
    progress: Arc<Progress>,
}

impl Handover {
    /// Gives out `body` and tells `progress`.
    pub(crate) fn new(body: Bytes, progress: Arc<Progress>) -> Self {
        Self { rest: body, progress }
    }
}

impl Body for Handover {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        #[cfg(feature = "failpoints")]
        shivneri_failpoint::hit("request.body");
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        let state = if self.rest.is_empty() { DONE } else { BEGUN };
        self.progress.0.store(state, Ordering::Release);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    /// Exact, so that the request has a `Content-Length` and is not chunked.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_body_counts_as_handed_over_with_its_last_piece_only() {
        let progress = Arc::new(Progress::default());
        let mut body = Handover::new(Bytes::from(vec![7; PIECE + 1]), Arc::clone(&progress));
        let mut context = Context::from_waker(Waker::noop());
        assert!(!progress.is_begun());
        assert_eq!(body.size_hint().exact(), Some(PIECE as u64 + 1));
        let mut seen = 0;
        for handed_over in [false, true] {
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
                panic!("a body in memory is always ready");
            };
            seen += frame.into_data().unwrap().len();
            assert!(progress.is_begun());
            assert_eq!(progress.is_handed_over(), handed_over);
        }
        assert_eq!(seen, PIECE + 1);
        assert!(body.is_end_stream());
    }
}
