//! The stream of frames to one agent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::Status;

use super::{Inner, session::Outgoing, session::Session};
use crate::wire::{ServerFrame, server_frame::Frame};

/// Polled by the connection only when it has room to write. So whatever leaves this stream is
/// handed to the socket, and whatever is left when it is dropped was not.
#[derive(Debug)]
pub(super) struct OutgoingFrames {
    pub(super) queue: mpsc::Receiver<Outgoing>,
    pub(super) session: Arc<Session>,
    pub(super) hub: Arc<Inner>,
}

impl Stream for OutgoingFrames {
    type Item = Result<ServerFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = match self.queue.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Outgoing::Frame(frame))) => frame,
                Poll::Ready(Some(Outgoing::Offer(attempt, offer))) => {
                    if !self.session.hand_over(attempt) {
                        continue;
                    }
                    Frame::Offer(offer)
                }
            };
            return Poll::Ready(Some(Ok(ServerFrame { frame: Some(frame) })));
        }
    }
}

impl Drop for OutgoingFrames {
    fn drop(&mut self) {
        self.hub.close(&self.session);
    }
}
