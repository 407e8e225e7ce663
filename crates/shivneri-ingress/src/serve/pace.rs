//! A body that must keep pace.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that buy a second more.
const BYTES_PER_SECOND: u64 = 8 << 10;

/// A request's body came too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body came too slowly: {received} bytes after {} s", .after.as_secs())]
pub struct SlowBody {
    /// Bytes that had come.
    pub received: u64,
    /// The time it took them.
    pub after: Duration,
}

/// Fails with [`SlowBody`] once a body has taken longer than its bytes allow.
#[derive(Debug)]
pub(super) struct Paced<B> {
    body: B,
    timeout: Duration,
    began: Option<Instant>,
    received: u64,
    /// Made when the body is first waited for: most come at once.
    alarm: Option<Pin<Box<Sleep>>>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B> Paced<B> {
    pub(super) fn new(body: B, timeout: Duration) -> Self {
        Self { body, timeout, began: None, received: 0, alarm: None }
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let began = *this.began.get_or_insert_with(Instant::now);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let allowed = this.timeout + Duration::from_secs(this.received / BYTES_PER_SECOND);
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(began + allowed)));
        if alarm.deadline() != began + allowed {
            alarm.as_mut().reset(began + allowed);
        }
        ready!(alarm.as_mut().poll(cx));
        let slow = SlowBody { received: this.received, after: began.elapsed() };
        Poll::Ready(Some(Err(slow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// Gives `pieces` of that many bytes, one every two seconds, and then nothing more.
    fn dripping(pieces: usize, bytes: usize) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        let stream = futures_util::stream::unfold(0, move |given| async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if given == pieces {
                std::future::pending::<()>().await;
            }
            Some((Ok(Frame::data(Bytes::from(vec![0; bytes]))), given + 1))
        });
        StreamBody::new(Box::pin(stream))
    }

    async fn end_of(pieces: usize, bytes: usize) -> SlowBody {
        let mut body = Paced::new(dripping(pieces, bytes), Duration::from_secs(31));
        loop {
            if let Err(error) = body.frame().await.unwrap() {
                return *error.downcast().unwrap();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_after_the_timeout() {
        let slow = end_of(1000, 1).await;
        assert_eq!((slow.received, slow.after.as_secs()), (15, 31));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_may_take_its_time_but_not_stand_still() {
        let slow = end_of(100, 16 << 10).await;
        assert_eq!((slow.received, slow.after.as_secs()), (100 * (16 << 10), 31 + 200));
    }
}
