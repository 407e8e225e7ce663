//! Reads what one agent says, for as long as its session lasts.

use std::sync::Arc;

use futures_util::StreamExt;
use shivneri_core::{AttemptId, Outcome};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    Inner,
    questions::Reply,
    reconcile::Claims,
    session::{Session, Taking},
    settling::Late,
};
use crate::{
    frame::{FrameError, attempt_id, decode_capabilities, decode_outcome},
    protocol::FRAMES_WAITING,
    wire::{AgentFrame, agent_frame::Frame},
};

/// Late findings and questions of one agent that are worked on at once.
const AT_ONCE: usize = 16;
/// A session is over after so many parts of the allowed silence without a frame. Counting parts
/// instead of reading the clock makes a pause of this process count as one part only.
const PARTS: u32 = 8;

/// What waits for the queue, and must not keep the beats waiting.
enum Job {
    Late(AttemptId, Late),
    Ask(AttemptId),
    Reconcile(Claims),
}

pub(super) async fn drive(
    hub: Arc<Inner>,
    session: Arc<Session>,
    frames: Streaming<AgentFrame>,
    claims: Claims,
) {
    let (jobs, queue) = mpsc::channel(FRAMES_WAITING);
    let work = ReceiverStream::new(queue).for_each_concurrent(AT_ONCE, |job| {
        let (hub, session) = (Arc::clone(&hub), Arc::clone(&session));
        async move { work(&hub, &session, job).await }
    });
    let read = async {
        // There is room: the queue is new.
        let _ = jobs.try_send(Job::Reconcile(claims));
        let ended = read(&hub, &session, frames, &jobs).await;
        hub.close(&session);
        drop(jobs);
        let (agent, generation) = (&session.identity.agent, session.identity.generation);
        tracing::info!(%agent, generation, reason = ended, "agent left");
    };
    tokio::join!(read, work);
}

async fn work(hub: &Arc<Inner>, session: &Arc<Session>, job: Job) {
    match job {
        Job::Late(attempt, late) => hub.late(attempt, late).await,
        Job::Ask(attempt) => {
            let granted = match session.asked(attempt) {
                Some(epoch) => hub.directory.may_start(attempt, epoch).await,
                None => false,
            };
            session.answer(attempt, granted);
        }
        Job::Reconcile(claims) => claims.reconcile(hub, session).await,
    }
}

/// Why it ended.
async fn read(
    hub: &Arc<Inner>,
    session: &Arc<Session>,
    mut frames: Streaming<AgentFrame>,
    jobs: &mpsc::Sender<Job>,
) -> String {
    let mut part = interval(hub.options.silence / PARTS);
    part.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        let frame = tokio::select! {
            biased;
            frame = frames.message() => frame,
            () = session.over() => return "the session was ended here".into(),
            _ = part.tick() => {
                silent += 1;
                if silent > PARTS {
                    return "it was silent".into();
                }
                continue;
            }
        };
        silent = 0;
        match frame {
            Ok(Some(AgentFrame { frame: Some(Frame::Goodbye(_)) })) => return "it said so".into(),
            Ok(Some(AgentFrame { frame: Some(frame) })) => {
                if let Err(error) = take(hub, session, frame, jobs) {
                    return error.to_string();
                }
            }
            // A frame of a newer version that this one has no word for.
            Ok(Some(AgentFrame { frame: None })) => {}
            Ok(None) => return "its stream ended".into(),
            Err(status) => return format!("its stream broke: {}", status.message()),
        }
    }
}

fn take(
    hub: &Arc<Inner>,
    session: &Arc<Session>,
    frame: Frame,
    jobs: &mpsc::Sender<Job>,
) -> Result<(), FrameError> {
    let identity = &session.identity;
    let (provider, agent, generation) = (&session.provider, &identity.agent, identity.generation);
    match frame {
        Frame::Beat(beat) => {
            hub.open(session);
            session.news.tell(|| hub.sessions.beat(provider, agent, generation, beat.in_flight));
        }
        Frame::Ask(ask) => {
            // Without room the agent gets no answer, and gives the offer back when it lapses.
            let _ = jobs.try_send(Job::Ask(attempt_id(&ask.attempt)?));
        }
        Frame::Report(report) => {
            let attempt = attempt_id(&report.attempt)?;
            let outcome: Outcome = decode_outcome(report.outcome);
            if session.ended_before(attempt) && session.taking() == Taking::Offers {
                let window = session.window();
                session.news.tell(|| hub.sessions.ready(provider, agent, generation, window));
            }
            if let Some(outcome) = session.reported(attempt, outcome) {
                let late = Late { outcome, reporter: Some(Arc::clone(session)) };
                // Without room it is not acknowledged, and the agent reports it again.
                let _ = jobs.try_send(Job::Late(attempt, late));
            }
        }
        Frame::Terms(terms) => {
            session.set_terms(terms.window.max(1), terms.capabilities.map(decode_capabilities));
            hub.provider_of(session).agree();
            if session.taking() == Taking::Offers {
                let window = session.window();
                session.news.tell(|| hub.sessions.ready(provider, agent, generation, window));
            }
        }
        Frame::Draining(_) => {
            hub.open(session);
            session.set_taking(Taking::Nothing);
            session.news.tell(|| hub.sessions.draining(provider, agent, generation));
        }
        Frame::Ready(_) => {
            if session.taking() == Taking::Nothing && !hub.is_stopping() {
                session.set_taking(Taking::Offers);
                let window = session.window();
                session.news.tell(|| hub.sessions.ready(provider, agent, generation, window));
            }
        }
        Frame::ProbeReport(report) => session.answered(report.id, Reply::ProbeReport(report)),
        Frame::LookupReport(report) => session.answered(report.id, Reply::LookupReport(report)),
        Frame::Goodbye(_) => {}
        Frame::Hello(_) => return Err(FrameError::new("hello", "it was said before")),
    }
    Ok(())
}
