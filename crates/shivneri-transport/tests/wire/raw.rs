//! An agent that speaks the bare protocol and does only what it is told.

use bytes::Bytes;
use shivneri_core::AttemptId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Endpoint};
use uuid::Uuid;

use crate::{
    house::soon,
    wire::{
        self, AgentFrame, Beat, Hello, JournalEntry, ServerFrame, Welcome, agent_frame::Frame,
        agents_client::AgentsClient, journal_entry::State, server_frame::Frame as Said,
    },
};

pub(crate) struct Raw {
    pub(crate) welcome: Welcome,
    frames: mpsc::Sender<AgentFrame>,
    said: Streaming<ServerFrame>,
}

pub(crate) fn bytes(uuid: &Uuid) -> Bytes {
    Bytes::copy_from_slice(uuid.as_bytes())
}

pub(crate) fn hello(agent: &str, journal: Uuid) -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        agent: agent.into(),
        provider: "acme".into(),
        kind: "scripted".into(),
        window: 8,
        journal: bytes(&journal),
        boot: String::new(),
        incarnation: bytes(&Uuid::from_u128(7)),
        capabilities: Some(wire::Capabilities {
            max_recipients: 100,
            max_bytes: 64 << 20,
            ..Default::default()
        }),
        entries: Vec::new(),
    }
}

pub(crate) fn entry(attempt: AttemptId, state: State) -> JournalEntry {
    JournalEntry { attempt: bytes(attempt.as_uuid()), state: state.into() }
}

impl Raw {
    /// Says Hello; the answer, whatever it is.
    pub(crate) async fn greet(url: &str, hello: Hello) -> Result<Self, Status> {
        Self::say_first(url, Frame::Hello(hello)).await
    }

    pub(crate) async fn say_first(url: &str, frame: Frame) -> Result<Self, Status> {
        // A small window, so that an agent that does not read is noticed soon.
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
        let endpoint = endpoint.initial_stream_window_size(65_535);
        let channel = soon(endpoint.connect()).await.unwrap();
        let (frames, queue) = mpsc::channel(64);
        frames.send(AgentFrame { frame: Some(frame) }).await.unwrap();
        let mut client = AgentsClient::new(channel);
        let mut said = soon(client.session(ReceiverStream::new(queue))).await?.into_inner();
        let first = soon(said.message()).await?.unwrap();
        let Some(Said::Welcome(welcome)) = first.frame else { panic!("no Welcome: {first:?}") };
        Ok(Self { welcome, frames, said })
    }

    /// Says Hello and beats once.
    pub(crate) async fn join(url: &str, hello: Hello) -> Self {
        let raw = Self::greet(url, hello).await.unwrap();
        raw.say(Frame::Beat(Beat { seq: 1, in_flight: 0 })).await;
        raw
    }

    pub(crate) async fn say(&self, frame: Frame) {
        self.say_whatever(Some(frame)).await;
    }

    /// Says even what is no frame; lost where the server has closed.
    pub(crate) async fn say_whatever(&self, frame: Option<Frame>) {
        let _ = self.frames.send(AgentFrame { frame }).await;
    }

    pub(crate) async fn report(&self, attempt: &Bytes, outcome: wire::outcome::End) {
        let outcome = Some(wire::Outcome { end: Some(outcome) });
        self.say(Frame::Report(wire::Report { attempt: attempt.clone(), outcome })).await;
    }

    /// The server's next frame; none once it has closed.
    pub(crate) async fn hears(&mut self) -> Option<Said> {
        soon(self.said.message()).await.ok()??.frame
    }

    /// The server's next offer; acknowledgements may come before it.
    pub(crate) async fn hears_offer(&mut self) -> wire::Offer {
        loop {
            match self.hears().await {
                Some(Said::Offer(offer)) => return offer,
                Some(Said::Ack(_)) => {}
                other => panic!("no offer: {other:?}"),
            }
        }
    }
}

/// An acceptance.
pub(crate) fn accepted() -> wire::outcome::End {
    let provider_message_id = "raw-1".into();
    wire::outcome::End::Accepted(wire::Receipt { provider_message_id, ..Default::default() })
}

/// A failure of this kind.
pub(crate) fn failed(kind: wire::failure::Kind) -> wire::outcome::End {
    wire::outcome::End::Failed(wire::Failure { kind: kind.into(), ..Default::default() })
}
