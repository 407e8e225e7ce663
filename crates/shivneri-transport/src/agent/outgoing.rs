//! The stream of frames to the server.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::wire::{AgentFrame, Beat, agent_frame::Frame};

/// Beats go before whatever else waits. Ends when both senders are gone.
#[derive(Debug)]
pub(super) struct OutgoingFrames {
    /// The Hello, which goes before all.
    pub(super) first: Option<Frame>,
    pub(super) beats: mpsc::Receiver<Beat>,
    pub(super) frames: mpsc::Receiver<Frame>,
}

impl Stream for OutgoingFrames {
    type Item = AgentFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AgentFrame>> {
        let whole = |frame| Poll::Ready(Some(AgentFrame { frame: Some(frame) }));
        if let Some(first) = self.first.take() {
            return whole(first);
        }
        if let Poll::Ready(Some(beat)) = self.beats.poll_recv(cx) {
            return whole(Frame::Beat(beat));
        }
        match self.frames.poll_recv(cx) {
            Poll::Ready(Some(frame)) => whole(frame),
            // The frames' senders outlive the beats': without them all is said.
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
