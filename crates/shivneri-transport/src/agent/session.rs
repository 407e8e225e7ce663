//! One connection from Hello to its end.

use std::{sync::Arc, time::Duration};

use shivneri_core::{AttemptId, Capabilities, Failure, Outcome, SendError};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Status, Streaming};

use super::{
    beside::{beat, report_again},
    dial::{Backoff, Dialer},
    drain::{Change, Leaving},
    link::{Link, Standing, Word},
    outgoing::OutgoingFrames,
    questions,
    shared::{Shared, Work},
    work::{Arrived, carry},
};
use crate::{
    frame::{
        FrameError, attempt_id, decode_attempt, encode_capabilities, encode_failure, encode_lookup,
        uuid, uuid_bytes,
    },
    journal::{JournalError, Snapshot, State},
    protocol::{FRAMES_WAITING, GREETING, spoken},
    wire::{self, ServerFrame, agent_frame::Frame, journal_entry, server_frame::Frame as Said},
};

/// How long the server may take to close after a Goodbye.
const CLOSING: Duration = Duration::from_secs(2);

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// All is settled and acknowledged.
    Drained,
    Superseded,
    /// For good.
    Refused(String),
    /// Dial again at once.
    Again,
    /// Dial again after a pause.
    Lost(String),
    Journal(JournalError),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<JournalError> for End {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) dialer: &'a Dialer,
    pub(super) backoff: &'a mut Backoff,
}

/// A session that the server has welcomed.
struct Open {
    link: Arc<Link>,
    said: Streaming<ServerFrame>,
    /// What runs beside it; ends with it.
    beside: JoinSet<()>,
}

impl Session<'_> {
    pub(super) async fn run<F: Future<Output = ()>>(
        self,
        work: &mut Work,
        leaving: &mut Leaving<F>,
    ) -> End {
        if let Some(error) = self.shared.broken.borrow().clone() {
            return End::Journal(error);
        }
        let mut open = tokio::select! {
            open = self.greet() => match open {
                Ok(open) => open,
                Err(end) => return end,
            },
            _ = leaving.next() => return End::Lost("the agent is leaving".into()),
        };
        self.backoff.reset();
        if leaving.has_begun() {
            drain(&open.link).await;
        }
        let end = serve(self.shared, &mut open, work, leaving).await;
        open.beside.shutdown().await;
        end.unwrap_or_else(|end| end)
    }

    /// Dials, says Hello, and waits for the Welcome.
    async fn greet(&self) -> Result<Open, End> {
        let shared = self.shared;
        let mut client = self.dialer.connect().await.map_err(End::Lost)?;
        let snapshot = shared.journal.next_session().await?;
        let capabilities = shared.provider.capabilities();
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let (beats, next_beat) = mpsc::channel(1);
        let hello = Frame::Hello(hello(shared, &snapshot, &capabilities));
        let outgoing = OutgoingFrames { first: Some(hello), beats: next_beat, frames: waiting };
        let no_answer = |_| End::Lost("no answer to the Hello".into());
        let answer = timeout(GREETING, client.session(self.dialer.request(outgoing)));
        let mut said = answer.await.map_err(no_answer)?.map_err(refusal)?.into_inner();
        let first = timeout(GREETING, said.message()).await.map_err(no_answer)?;
        let Some(Said::Welcome(welcome)) = first.map_err(refusal)?.and_then(|first| first.frame)
        else {
            return Err(End::Lost("the first frame was no Welcome".into()));
        };
        if !spoken().contains(&welcome.protocol) {
            let version = welcome.protocol;
            return Err(End::Refused(format!("it wants to speak protocol version {version}")));
        }
        if shared.journal.belong(uuid("incarnation", &welcome.incarnation)?).await? {
            tracing::info!("the server's data is not what this journal belonged to");
            return Err(End::Again);
        }
        let (agent, generation) = (&shared.options.agent, welcome.generation);
        tracing::info!(%agent, generation, server = %shared.options.server, "connected");
        let bodies = self.dialer.bodies.clone();
        let link = Link::new(snapshot.session, welcome.session, bodies, frames.clone());
        let link = Arc::new(link);
        // From here on ends are reported over this link. Those from before are found here,
        // where nothing offered over it can have ended yet.
        shared.set_link(Arc::clone(&link));
        let found = shared.journal.unacknowledged().await?;
        let every = Duration::from_millis(welcome.beat_ms.clamp(10, 60_000).into());
        let mut beside = JoinSet::new();
        beside.spawn(beat(Arc::clone(shared), every, beats, frames, capabilities));
        beside.spawn(report_again(Arc::clone(shared), Arc::clone(&link), found));
        Ok(Open { link, said, beside })
    }
}

async fn serve<F: Future<Output = ()>>(
    shared: &Arc<Shared>,
    open: &mut Open,
    work: &mut Work,
    leaving: &mut Leaving<F>,
) -> Result<End, End> {
    let mut unacknowledged = shared.journal.watch_unacknowledged();
    let mut broken = shared.broken.subscribe();
    loop {
        if leaving.has_begun() && work.is_idle() && *unacknowledged.borrow_and_update() == 0 {
            open.link.send(Frame::Goodbye(wire::Goodbye {})).await;
            let close = async { while let Ok(Some(_)) = open.said.message().await {} };
            // The server has heard it or will see the connection close.
            let _ = timeout(CLOSING, close).await;
            return Ok(End::Drained);
        }
        tokio::select! {
            frame = open.said.message() => match frame {
                Ok(Some(frame)) => take(shared, &open.link, work, frame).await?,
                Ok(None) => return Err(End::Lost("the server closed the session".into())),
                Err(status) => return Err(End::Lost(status.message().to_owned())),
            },
            change = leaving.next() => match change {
                Change::Asked => drain(&open.link).await,
                Change::Over => return Err(End::Lost("the drain's time is over".into())),
            },
            () = work.one_ended() => {}
            _ = unacknowledged.changed() => {}
            _ = broken.changed() => {
                if let Some(error) = broken.borrow_and_update().clone() {
                    return Err(End::Journal(error));
                }
            }
        }
    }
}

async fn drain(link: &Link) {
    link.stand(Standing::Draining);
    link.send(Frame::Draining(wire::Draining {})).await;
}

async fn take(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    work: &mut Work,
    frame: ServerFrame,
) -> Result<(), End> {
    match frame.frame {
        Some(Said::Offer(offer)) => offered(shared, link, work, offer).await?,
        Some(Said::Go(go)) => link.heard(attempt_id(&go.attempt)?, Word::Go),
        Some(Said::NoGo(no_go)) => link.heard(attempt_id(&no_go.attempt)?, Word::NoGo),
        Some(Said::Ack(ack)) => {
            shared.journal.acknowledged(attempt_id(&ack.attempt)?, ack.forget).await?;
        }
        Some(Said::Drain(_)) => link.stand(Standing::Draining),
        Some(Said::Superseded(_)) => return Err(End::Superseded),
        Some(Said::ProbeRequest(request)) => {
            let (shared, link) = (Arc::clone(shared), Arc::clone(link));
            work.spawn(async move {
                let failure = questions::probe(&shared).await.err();
                let failure = failure.map(|error| encode_failure(&error));
                link.send(Frame::ProbeReport(wire::ProbeReport { id: request.id, failure })).await;
            });
        }
        Some(Said::LookupRequest(request)) => {
            let attempt = decode_attempt(request.attempt, shared.provider.id())?;
            let (shared, link) = (Arc::clone(shared), Arc::clone(link));
            work.spawn(async move {
                let found = if shared.is_throttled() {
                    Err(SendError::not_started("the provider asked for a pause"))
                } else {
                    questions::lookup(&shared, &attempt).await
                };
                if let Err(Failure::Throttled { retry_after }) =
                    found.as_ref().map_err(SendError::failure)
                {
                    shared.throttle(*retry_after);
                }
                link.send(Frame::LookupReport(encode_lookup(request.id, &found))).await;
            });
        }
        Some(Said::Welcome(_)) => return Err(End::Lost("a second Welcome".into())),
        // A frame of a newer version that this one has no word for.
        None => {}
    }
    Ok(())
}

async fn offered(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    work: &mut Work,
    offer: wire::Offer,
) -> Result<(), End> {
    let at = Instant::now();
    let id = attempt_id(offer.attempt.as_ref().map_or(&[], |attempt| &attempt.id))?;
    // A server that keeps to the window never comes near.
    if work.running() > 4 * shared.options.window as usize + 64 {
        let outcome = Outcome::Failed(SendError::not_started("the window is long full"));
        link.report(id, &outcome).await;
        return Ok(());
    }
    let arrived = Arrived { id, offer, at, ear: link.listen(id) };
    work.spawn(carry(Arc::clone(shared), Arc::clone(link), arrived));
    Ok(())
}

fn hello(shared: &Shared, snapshot: &Snapshot, capabilities: &Capabilities) -> wire::Hello {
    let entry = |(id, state): &(AttemptId, State)| {
        let state = match state {
            State::Started => journal_entry::State::Started,
            State::Ended => journal_entry::State::Ended,
            State::Kept => journal_entry::State::Kept,
        };
        wire::JournalEntry { attempt: uuid_bytes(id.as_uuid()), state: state.into() }
    };
    wire::Hello {
        protocol_min: *spoken().start(),
        protocol_max: *spoken().end(),
        agent: shared.options.agent.to_string(),
        provider: shared.provider.id().to_string(),
        kind: shared.provider.kind().to_owned(),
        window: shared.options.window.max(1),
        journal: uuid_bytes(&snapshot.journal),
        boot: snapshot.boot.clone(),
        incarnation: snapshot.incarnation.as_ref().map(uuid_bytes).unwrap_or_default(),
        capabilities: Some(encode_capabilities(capabilities)),
        entries: snapshot.entries.iter().map(entry).collect(),
    }
}

/// Codes after which dialling again would change nothing.
const FOR_GOOD: [Code; 5] = [
    Code::Unauthenticated,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::InvalidArgument,
    Code::Unimplemented,
];

fn refusal(status: Status) -> End {
    if status.code() == Code::Aborted {
        return End::Superseded;
    }
    if FOR_GOOD.contains(&status.code()) {
        return End::Refused(status.message().to_owned());
    }
    End::Lost(format!("{:?}: {}", status.code(), status.message()))
}
