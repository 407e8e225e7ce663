//! What changes, as server-sent events.
//!
//! A stream belongs to one open page. It lives as long as the connection, and holds one of a
//! limited number of seats until it is dropped.

use std::{collections::BTreeMap, convert::Infallible, future::pending, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Serialize;
use shivneri_core::{MessageId, ProviderId};
use shivneri_spool::SpoolState;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{layout, message, overview::Snapshot, router::Console};

/// At most this many pages are kept fresh at once; beyond that they are asked to come again.
pub(crate) const SEATS: usize = 64;
/// A page hears of changes at most this often.
const PACE: Duration = Duration::from_millis(500);
/// What one page has seen does for another that looks within this time.
const FRESH: Duration = Duration::from_millis(400);
/// A comment is sent when nothing was for so long, so that a gone reader is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The right to a stream.
#[derive(Clone, Debug)]
pub(crate) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SEATS)))
    }
}

impl Seats {
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// What a page has to replace.
#[derive(Debug, Serialize)]
struct Change<'a> {
    /// Tiles that are new or differ, by provider.
    tiles: BTreeMap<&'a str, &'a str>,
    /// Every provider, in order; a tile of any other goes away. Absent: tiles are not concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
    /// Other pieces that differ, by name.
    parts: BTreeMap<&'a str, &'a str>,
    /// Whether nothing follows: a browser takes an end without a word for a broken line, and
    /// comes again.
    last: bool,
}

/// One page's stream.
#[derive(Debug)]
struct Reader<T> {
    console: Console,
    seen: T,
    ticks: Interval,
    _seat: OwnedSemaphorePermit,
}

impl<T> Reader<T> {
    fn new(console: Console, seat: OwnedSemaphorePermit, seen: T) -> Self {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { console, seen, ticks, _seat: seat }
    }

    /// Waits for the next look; false once the server is closing and the stream has to end.
    async fn turn(&mut self) -> bool {
        let closing = async {
            match &mut self.console.closing {
                // An error means that who could say so is gone, which is the same.
                Some(closing) => drop(closing.wait_for(|closing| *closing).await),
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = closing => return false,
            _ = self.ticks.tick() => {}
        }
        self.console.parts.spool.health().state != SpoolState::Closed
    }
}

/// `GET /console/events`: changes of the overview.
///
/// The first event brings all of it, unless `Last-Event-ID` names the present state.
pub(crate) async fn overview(State(console): State<Console>, headers: HeaderMap) -> Response {
    let Some(seat) = console.seats.take() else { return no_seat() };
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let present = console.board.look_since(FRESH).await;
    let seen = if known == Some(&present.id) { present } else { Arc::default() };
    let reader = Reader::new(console, seat, seen);
    answer(stream::unfold(reader, async |mut reader: Reader<Arc<Snapshot>>| {
        while reader.turn().await {
            let now = reader.console.board.look_since(FRESH).await;
            if now.id != reader.seen.id {
                let event = event(&difference(&reader.seen, &now)).id(&now.id);
                reader.seen = now;
                return Some((Ok(event), reader));
            }
        }
        None
    }))
}

/// `GET /console/messages/{id}/events`: one message, until it is final.
pub(crate) async fn message(
    State(console): State<Console>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = id.parse::<MessageId>() else { return layout::not_found(headers).await };
    if matches!(console.parts.spool.get(id).await, Ok(None)) {
        return layout::not_found(headers).await;
    }
    let Some(seat) = console.seats.take() else { return no_seat() };
    let reader = Reader::new(console, seat, Story { id, shown: String::new(), over: false });
    answer(stream::unfold(reader, next_of_story))
}

/// What a page about one message has seen.
#[derive(Debug)]
struct Story {
    id: MessageId,
    shown: String,
    over: bool,
}

type Next<T> = Option<(Result<Event, Infallible>, Reader<T>)>;

async fn next_of_story(mut reader: Reader<Story>) -> Next<Story> {
    while !reader.seen.over && reader.turn().await {
        let record = match reader.console.parts.spool.get(reader.seen.id).await {
            Ok(Some(record)) => record,
            // Erased, or past its retention: there is nothing more to tell.
            Ok(None) => return None,
            Err(error) => {
                tracing::debug!(message = %reader.seen.id, %error, "message could not be read");
                continue;
            }
        };
        let now = message::story(&record).into_string();
        if now != reader.seen.shown {
            let last = record.status().is_final();
            let parts = [("story", now.as_str())].into();
            let event = event(&Change { tiles: BTreeMap::new(), order: None, parts, last });
            reader.seen = Story { shown: now, over: last, ..reader.seen };
            return Some((Ok(event), reader));
        }
    }
    None
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn no_seat() -> Response {
    let text = format!("{SEATS} pages are kept fresh already; reload to see the present state.");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    ([(RETRY_AFTER, "10")], layout::problem(status, "Too many open pages", &text)).into_response()
}

fn event(change: &Change<'_>) -> Event {
    let json = serde_json::to_string(change).expect("maps of strings are always JSON");
    Event::default().event("change").data(json)
}

fn difference<'a>(before: &Snapshot, now: &'a Snapshot) -> Change<'a> {
    let is_new = |(id, tile): &&(ProviderId, String)| {
        !before.tiles.iter().any(|(other, seen)| other == id && seen == tile)
    };
    let tiles = now.tiles.iter().filter(is_new).map(|(id, tile)| (id.as_str(), tile.as_str()));
    let parts = now.parts.iter().filter(|(name, part)| before.parts.get(*name) != Some(part));
    Change {
        tiles: tiles.collect(),
        order: Some(now.tiles.iter().map(|(id, _)| id.as_str()).collect()),
        parts: parts.map(|(name, part)| (*name, part.as_str())).collect(),
        last: false,
    }
}
