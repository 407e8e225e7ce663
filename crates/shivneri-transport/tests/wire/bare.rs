//! A server that speaks the bare protocol and does only what it is told.

use std::pin::Pin;

use bytes::Bytes;
use shivneri_core::{Attempt, Email, OnDoubt};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};
use uuid::Uuid;

use crate::{
    house::soon,
    raw::bytes,
    wire::{
        self, AgentFrame, Hello, Offer, Outcome, Report, ServerFrame, Welcome,
        agent_frame::Frame as Said,
        agents_server::{Agents, AgentsServer},
        server_frame::Frame,
    },
};

/// A session as it comes in, to be answered.
pub(crate) struct Session {
    pub(crate) hello: Hello,
    said: Streaming<AgentFrame>,
    frames: mpsc::Sender<Result<ServerFrame, Status>>,
}

pub(crate) struct Bare {
    pub(crate) url: String,
    sessions: mpsc::Receiver<Session>,
    task: JoinHandle<()>,
}

struct Doors(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Agents for Doors {
    type SessionStream = ReceiverStream<Result<ServerFrame, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut said = request.into_inner();
        let first = said.message().await?.and_then(|first| first.frame);
        let Some(Said::Hello(hello)) = first else { panic!("no Hello: {first:?}") };
        let (frames, outgoing) = mpsc::channel(256);
        self.0.send(Session { hello, said, frames }).await.unwrap();
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    type BodyStream = Pin<Box<dyn Stream<Item = Result<wire::BodyChunk, Status>> + Send>>;

    /// Bodies of the length that is asked for by the attempt's last byte.
    async fn body(
        &self,
        request: Request<wire::BodyRequest>,
    ) -> Result<Response<Self::BodyStream>, Status> {
        let length = usize::from(*request.into_inner().attempt.last().unwrap());
        let chunk = wire::BodyChunk { content: vec![b'x'; length].into() };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(chunk)]))))
    }
}

impl Bare {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (opened, sessions) = mpsc::channel(8);
        let task = tokio::spawn(async move {
            let router = Server::builder().add_service(AgentsServer::new(Doors(opened)));
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { url, sessions, task }
    }

    /// The agent's next session, welcomed. Beats are told to be rare, so that they are not in
    /// the way.
    pub(crate) async fn welcomes(&mut self, incarnation: Uuid) -> Session {
        let session = soon(self.sessions.recv()).await.unwrap();
        let key = bytes(&Uuid::from_u128(5));
        let incarnation = bytes(&incarnation);
        let welcome =
            Welcome { protocol: 1, generation: 1, session: key, incarnation, beat_ms: 60_000 };
        session.say(Frame::Welcome(welcome)).await;
        session
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    pub(crate) async fn say(&self, frame: Frame) {
        self.frames.send(Ok(ServerFrame { frame: Some(frame) })).await.unwrap();
    }

    /// The agent's next frame that is no beat; none once it has gone.
    pub(crate) async fn hears(&mut self) -> Option<Said> {
        loop {
            match soon(self.said.message()).await.ok()??.frame {
                Some(Said::Beat(_)) => {}
                frame => return frame,
            }
        }
    }

    /// The next report about this attempt: its failure or none. Others are passed over, since
    /// an agent may say them again at any time.
    pub(crate) async fn hears_report_of(&mut self, attempt: &Bytes) -> Option<wire::Failure> {
        loop {
            let (about, failure) = self.hears_report().await;
            if about == *attempt {
                return failure;
            }
        }
    }

    /// The next report: the attempt, and its failure or none.
    pub(crate) async fn hears_report(&mut self) -> (Bytes, Option<wire::Failure>) {
        match self.hears().await {
            Some(Said::Report(Report { attempt, outcome: Some(Outcome { end: Some(end) }) })) => {
                match end {
                    wire::outcome::End::Accepted(_) => (attempt, None),
                    wire::outcome::End::Failed(failure) => (attempt, Some(failure)),
                }
            }
            other => panic!("no report: {other:?}"),
        }
    }

    /// Offers an email, in full.
    pub(crate) async fn offers(&self, email: &Email, on_doubt: OnDoubt) -> Bytes {
        let offer = offer(email, on_doubt);
        let id = offer.attempt.clone().unwrap().id;
        self.say(Frame::Offer(offer)).await;
        id
    }
}

/// An offer that is in order.
pub(crate) fn offer(email: &Email, on_doubt: OnDoubt) -> Offer {
    let attempt = Attempt::single(email, "acme".parse().unwrap());
    let on_doubt = match on_doubt {
        OnDoubt::Resend => wire::OnDoubt::Resend,
        OnDoubt::Hold => wire::OnDoubt::Hold,
    };
    let body = encoded(email);
    Offer {
        attempt: Some(wire::Attempt {
            id: bytes(attempt.id.as_uuid()),
            delivery: bytes(attempt.delivery.as_uuid()),
            message: bytes(attempt.message.as_uuid()),
            number: 1,
            idempotency_key: attempt.idempotency_key(),
            on_doubt: on_doubt.into(),
            possible_duplicate: false,
            request: attempt.request,
            started_at_ms: 0,
            timeout_ms: 10_000,
        }),
        generation: 1,
        validity_ms: 10_000,
        body_size: body.len() as u64,
        body: Some(body),
    }
}

fn encoded(email: &Email) -> Bytes {
    let mailbox = |mailbox: &shivneri_core::Mailbox| wire::Mailbox {
        address: mailbox.address().to_string(),
        name: String::new(),
    };
    let email = wire::Email {
        id: bytes(email.id().as_uuid()),
        from: Some(mailbox(email.from())),
        to: email.to().iter().map(mailbox).collect(),
        text: email.text().map(str::to_owned),
        recipients: email.to().iter().map(|one| one.address().to_string()).collect(),
        ..Default::default()
    };
    prost::Message::encode_to_vec(&email).into()
}
