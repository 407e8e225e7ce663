//! What the fault server does with a request.

use std::time::Duration;

use bytes::Bytes;

/// A whole HTTP answer; `Content-Length` is added to its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, as 202.
    pub status: u16,
    /// Headers in the order they are written.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        super::find_header(&self.headers, name)
    }
}

/// How [`FaultServer`](crate::FaultServer) treats one request.
///
/// A reset is a TCP RST, which throws away what is still under way; a close is a FIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Reads the request, answers, keeps the connection.
    Answer(Answer),
    /// Resets a connection as soon as it is accepted. On a connection that is already there it
    /// resets as soon as the head of the next request is read.
    ResetOnConnect,
    /// Answers as soon as the head is read, and takes the body for nothing, as servers do with
    /// one that is too large.
    AnswerBeforeBody(Answer),
    /// Resets after the request's head, before a byte of its body is read.
    ResetBeforeBody,
    /// Resets after some of the body. A body of several MiB does not fit into the sockets'
    /// buffers, so the client still has bytes to hand over.
    ResetInBody,
    /// Reads the whole request and resets, without a byte of answer.
    ResetAfterBody,
    /// Reads the whole request, writes half an answer of status 200, and resets.
    ResetInAnswer,
    /// Reads the whole request, writes half an answer of status 200, and closes.
    CloseInAnswer,
    /// Reads the whole request and closes, without a byte of answer.
    CloseAfterBody,
    /// Reads the head and nothing more until the server is dropped: with the body unread, it
    /// can't see the client go.
    StallBeforeBody,
    /// Reads the whole request and stays silent until the client goes or the server is dropped.
    Stall,
    /// Reads the whole request and answers one byte at a time.
    Trickle {
        /// What is answered.
        answer: Answer,
        /// The pause before each byte.
        every: Duration,
    },
    /// Reads the whole request and answers with a body of that many bytes, all `x`, in chunks.
    Huge {
        /// The status.
        status: u16,
        /// How many bytes.
        bytes: u64,
    },
    /// Answers as if the connection were kept, then closes it at once.
    CloseIdle(Answer),
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::of(status, body.into()).with_header("Content-Type", "application/json")
    }

    /// A plain-text answer.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::of(status, body.into()).with_header("Content-Type", "text/plain; charset=utf-8")
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self::of(status, String::new())
    }

    /// Adds a header to the answer; replies without an answer of their own stay as they are.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Some(answer) = self.answer_mut() {
            answer.headers.push((name.into(), value.into()));
        }
        self
    }

    /// The answer inside, where the reply has one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer)
            | Self::AnswerBeforeBody(answer)
            | Self::CloseIdle(answer)
            | Self::Trickle { answer, .. } => Some(answer),
            Self::ResetOnConnect
            | Self::ResetBeforeBody
            | Self::ResetInBody
            | Self::ResetAfterBody
            | Self::ResetInAnswer
            | Self::CloseInAnswer
            | Self::CloseAfterBody
            | Self::StallBeforeBody
            | Self::Stall
            | Self::Huge { .. } => None,
        }
    }

    fn answer_mut(&mut self) -> Option<&mut Answer> {
        match self {
            Self::Answer(answer)
            | Self::AnswerBeforeBody(answer)
            | Self::CloseIdle(answer)
            | Self::Trickle { answer, .. } => Some(answer),
            Self::ResetOnConnect
            | Self::ResetBeforeBody
            | Self::ResetInBody
            | Self::ResetAfterBody
            | Self::ResetInAnswer
            | Self::CloseInAnswer
            | Self::CloseAfterBody
            | Self::StallBeforeBody
            | Self::Stall
            | Self::Huge { .. } => None,
        }
    }

    fn of(status: u16, body: String) -> Self {
        Self::Answer(Answer::new(status, body))
    }
}
