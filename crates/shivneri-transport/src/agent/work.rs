//! The life of one offer at the agent: fetch the email, wait for a place and a *go*, record the
//! start, send, record the end, report.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use shivneri_core::{
    Attempt, AttemptId, Cause, Doubt, Email, Failure, OnDoubt, Outcome, SendError,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Code, Status};

use super::{
    link::{Ear, Link, Stop},
    shared::Shared,
};
use crate::{
    frame::{FrameError, decode_attempt, decode_email, uuid_bytes},
    journal::StartError,
    protocol::MAX_BODY,
    wire::{self, agent_frame::Frame},
};

/// How much longer than it promised a provider is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Why nothing is sent during a pause.
const PAUSED: &str = "the provider asked for a pause";

/// Why an offer was not started.
enum Idle {
    /// It goes back to the server: certainly not started.
    GiveBack(String),
    /// This agent can't carry such an email.
    Unsupported(String),
    /// Nothing is to be said: the connection is gone, or the attempt runs already.
    Silent,
}

/// An offer as it came in, its clock running from then on.
pub(super) struct Arrived {
    pub(super) id: AttemptId,
    pub(super) offer: wire::Offer,
    pub(super) at: Instant,
    /// What the server says about it, heard from the moment it came in.
    pub(super) ear: Ear,
}

/// All that is needed to start.
struct Ready {
    email: Email,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn carry(shared: Arc<Shared>, link: Arc<Link>, arrived: Arrived) {
    let id = arrived.id;
    #[cfg(feature = "failpoints")]
    shivneri_failpoint::hit("offer.arrived");
    let failure = match start(&shared, &link, arrived).await {
        Ok((ready, attempt)) => return send(&shared, ready, attempt).await,
        Err(Idle::Silent) => return,
        Err(Idle::GiveBack(why)) => SendError::not_started(why),
        Err(Idle::Unsupported(why)) => SendError::new(Failure::Unsupported, why),
    };
    tracing::debug!(attempt = %id, %failure, "offer not started");
    // Not in the journal: should this be lost, its absence there says the same.
    link.report(id, &Outcome::Failed(failure)).await;
}

/// Everything up to and including the record of the start.
async fn start(
    shared: &Arc<Shared>,
    link: &Link,
    arrived: Arrived,
) -> Result<(Ready, Attempt), Idle> {
    let Arrived { id, offer, at, ear } = arrived;
    let valid_until = at + Duration::from_millis(offer.validity_ms.into());
    let mut attempt = decode_attempt(offer.attempt.clone(), shared.provider.id())
        .map_err(|error| Idle::GiveBack(error.to_string()))?;
    let ready = tokio::select! {
        biased;
        stop = ear.stop() => return Err(idle(stop)),
        () = sleep_until(valid_until) => return Err(lapsed()),
        ready = prepare(shared, link, &ear, &attempt, offer) => ready?,
    };
    if let Some(stop) = ear.stop_now() {
        return Err(idle(stop));
    }
    // Also what has come within the pause: the server may not have heard of it yet.
    if shared.is_throttled() {
        return Err(Idle::GiveBack(PAUSED.into()));
    }
    let hold = attempt.on_doubt == OnDoubt::Hold;
    match shared.journal.start(link.session, id, hold).await {
        Ok(()) => {}
        Err(StartError::SessionOver | StartError::BegunBefore) => return Err(Idle::Silent),
        Err(StartError::Journal(error)) => {
            let why = format!("the start could not be recorded: {error}");
            shared.broke(error);
            return Err(Idle::GiveBack(why));
        }
    }
    #[cfg(feature = "failpoints")]
    shivneri_failpoint::hit("start.journalled");
    // The write may have taken long; what may not be sent now has still not begun, and the
    // journal has to say so before the server does.
    let too_late = if Instant::now() >= valid_until {
        Some("the offer lapsed as it began")
    } else {
        shared.is_throttled().then_some(PAUSED)
    };
    if let Some(why) = too_late {
        conclude(shared, id, Outcome::Failed(SendError::not_started(why))).await;
        return Err(Idle::Silent);
    }
    attempt.timeout = (at + attempt.timeout).saturating_duration_since(Instant::now());
    Ok((ready, attempt))
}

fn idle(stop: Stop) -> Idle {
    match stop {
        Stop::Withdrawn => Idle::GiveBack("the server withdrew the offer".into()),
        Stop::Draining => Idle::GiveBack("the agent is draining".into()),
        Stop::Over => Idle::Silent,
    }
}

fn lapsed() -> Idle {
    Idle::GiveBack("the offer lapsed before it could be started".into())
}

/// Waits for a place, the email, and for `hold` the server's *go*, in this order: a *go* is asked
/// for only when nothing else stands in the way.
async fn prepare(
    shared: &Shared,
    link: &Link,
    ear: &Ear,
    attempt: &Attempt,
    offer: wire::Offer,
) -> Result<Ready, Idle> {
    let places = Arc::clone(&shared.places);
    let place = places.acquire_owned().await.expect("the window is never closed");
    let body = match offer.body {
        Some(body) => body,
        None => fetch(link, attempt.id, offer.body_size).await?,
    };
    let unreadable =
        |error: FrameError| Idle::Unsupported(format!("the email can't be read: {error}"));
    let email = decode_email(body).map_err(unreadable)?;
    if attempt.on_doubt == OnDoubt::Hold {
        let ask = wire::Ask { attempt: uuid_bytes(attempt.id.as_uuid()) };
        link.send(Frame::Ask(ask)).await;
        ear.go().await;
    }
    Ok(Ready { email, _place: place })
}

/// Fetches the encoded email over the connection for bodies.
async fn fetch(link: &Link, id: AttemptId, size: u64) -> Result<Bytes, Idle> {
    if size > MAX_BODY {
        return Err(Idle::Unsupported(format!("the email takes {size} bytes, {MAX_BODY} at most")));
    }
    let failed = |status: Status| {
        Idle::GiveBack(if status.code() == Code::NotFound {
            "the offer is no longer out".into()
        } else {
            format!("the email could not be fetched: {}", status.message())
        })
    };
    let request =
        wire::BodyRequest { session: link.key.clone(), attempt: uuid_bytes(id.as_uuid()) };
    let mut chunks = link.bodies.clone().body(request).await.map_err(failed)?.into_inner();
    let size = usize::try_from(size).expect("it is at most 64 MiB");
    let mut body = BytesMut::with_capacity(size);
    while let Some(chunk) = chunks.message().await.map_err(failed)? {
        if chunk.content.len() > size - body.len() {
            return Err(Idle::GiveBack("the email is longer than the offer says".into()));
        }
        body.extend_from_slice(&chunk.content);
    }
    if body.len() < size {
        return Err(Idle::GiveBack("the email is shorter than the offer says".into()));
    }
    Ok(body.freeze())
}

/// The one call of the provider. Whatever happens from here on, an outcome is recorded.
async fn send(shared: &Arc<Shared>, ready: Ready, attempt: Attempt) {
    let running = shared.run();
    let sending = AssertUnwindSafe(shared.provider.send(&ready.email, &attempt)).catch_unwind();
    let in_doubt = |why: &str| SendError::new(Failure::InDoubt(Doubt::Strong), why);
    let result = match timeout(attempt.timeout + PATIENCE, sending).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(in_doubt("the provider panicked").caused_by(Cause::Agent)),
        Err(_) => Err(in_doubt("no answer from the provider in time")),
    };
    if let Err(error) = &result
        && let Failure::Throttled { retry_after } = error.failure()
    {
        shared.throttle(*retry_after);
    }
    drop(running);
    conclude(shared, attempt.id, Outcome::from(result)).await;
}

/// Records an end, then reports it over whatever connection there is.
async fn conclude(shared: &Shared, id: AttemptId, outcome: Outcome) {
    tracing::debug!(attempt = %id, outcome = outcome.word(), "attempt ended");
    if let Err(error) = shared.journal.end(id, outcome.clone()).await {
        // Reported all the same: it is the truth, and only a restart would forget it.
        shared.broke(error);
    }
    #[cfg(feature = "failpoints")]
    shivneri_failpoint::hit("end.journalled");
    if let Some(link) = shared.link() {
        link.report(id, &outcome).await;
    }
}
