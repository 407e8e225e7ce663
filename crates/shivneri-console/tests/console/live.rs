//! What a page hears while it is open.

use axum::{
    body::{Body, BodyDataStream},
    http::StatusCode,
};
use futures_util::StreamExt;
use serde_json::Value;
use shivneri_core::{Outcome, Receipt, Transition, health::Admin};
use shivneri_spool::Spool;

use crate::fixture::{Fixture, draft, get};

/// An open stream of events.
struct Stream {
    body: BodyDataStream,
    read: String,
}

#[derive(Debug)]
struct Event {
    id: Option<String>,
    change: Value,
}

impl Stream {
    fn new(body: Body) -> Self {
        Self { body: body.into_data_stream(), read: String::new() }
    }

    /// The next event; none where the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        while !self.read.contains("\n\n") {
            self.read += std::str::from_utf8(&self.body.next().await?.unwrap()).unwrap();
        }
        let (event, rest) = self.read.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let (id, change) = (field("id:"), serde_json::from_str(&field("data:").unwrap()).unwrap());
        self.read = rest.to_owned();
        Some(Event { id, change })
    }
}

async fn open(fixture: &Fixture, path: &str) -> Stream {
    let answer = fixture.ask(get(path)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    Stream::new(answer.into_body())
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_changes_or_goes_is_told_by_its_tile() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let mut stream = open(&fixture, "/console/events").await;
    let first = stream.next().await.unwrap();
    assert!(first.change["tiles"]["sandbox-a"].as_str().unwrap().contains("active"));
    assert!(first.change["parts"]["queue"].as_str().unwrap().contains("critical"));

    fixture.add_provider("sandbox-b");
    let came = stream.next().await.unwrap();
    assert!(came.change["tiles"]["sandbox-b"].as_str().unwrap().contains("active"));
    assert_eq!(came.change["order"], serde_json::json!(["sandbox-a", "sandbox-b"]));
    assert_ne!(first.id, came.id);

    fixture.registry.administer(&"sandbox-b".parse().unwrap(), Admin::Disabled).unwrap();
    let changed = stream.next().await.unwrap();
    assert!(changed.change["tiles"]["sandbox-b"].as_str().unwrap().contains("disabled"));

    fixture.registry.remove(&"sandbox-b".parse().unwrap()).unwrap();
    let gone = stream.next().await.unwrap();
    assert_eq!(gone.change["order"], serde_json::json!(["sandbox-a"]));
}

#[tokio::test(start_paused = true)]
async fn only_what_changed_is_told() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let mut stream = open(&fixture, "/console/events").await;
    stream.next().await.unwrap();
    fixture.accept(draft("News")).await;
    let change = stream.next().await.unwrap().change;
    assert_eq!(change["tiles"], serde_json::json!({}));
    assert!(change["parts"]["latest"].as_str().unwrap().contains("News"));
    assert!(change["parts"]["notice"].is_null());
}

#[tokio::test(start_paused = true)]
async fn while_nothing_changes_nothing_but_comments_is_told() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let mut stream = open(&fixture, "/console/events").await;
    stream.next().await.unwrap();
    let comment = stream.body.next().await.unwrap().unwrap();
    assert!(comment.starts_with(b":"), "{comment:?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_with_the_present_id_is_told_only_what_follows() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let first = open(&fixture, "/console/events").await.next().await.unwrap();
    let mut request = get("/console/events");
    request.headers_mut().insert("last-event-id", first.id.unwrap().parse().unwrap());
    let mut stream = Stream::new(fixture.ask(request).await.into_body());
    let comment = stream.body.next().await.unwrap().unwrap();
    assert!(comment.starts_with(b":"), "{comment:?}");
    fixture.accept(draft("News")).await;
    let change = stream.next_after_comments().await.change;
    assert_eq!(change["tiles"], serde_json::json!({}));
    assert!(change["parts"]["latest"].as_str().unwrap().contains("News"));
}

impl Stream {
    async fn next_after_comments(&mut self) -> Event {
        loop {
            let chunk = self.body.next().await.unwrap().unwrap();
            if !chunk.starts_with(b":") {
                self.read += std::str::from_utf8(&chunk).unwrap();
                return self.next().await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_told_until_it_is_final() {
    let fixture = Fixture::new();
    let id = fixture.accept(draft("x")).await;
    let path = format!("/console/messages/{id}/events");
    let mut stream = open(&fixture, &path).await;
    let first = stream.next().await.unwrap().change;
    assert!(first["parts"]["story"].as_str().unwrap().contains("queued"));
    assert_eq!(first["last"], false);
    let (_, attempt) = fixture.begin("sandbox-a", "the only one").await;
    let sending = stream.next().await.unwrap().change;
    assert!(sending["parts"]["story"].as_str().unwrap().contains("under way"));
    fixture.end(&attempt, Outcome::Accepted(Receipt::new("1")), Transition::Accepted).await;
    let last = stream.next().await.unwrap().change;
    assert!(last["parts"]["story"].as_str().unwrap().contains("accepted"));
    assert_eq!(last["last"], true);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn streams_are_bounded_and_a_closed_one_makes_room() {
    let fixture = Fixture::new();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(fixture.ask(get("/console/events")).await);
    }
    assert!(open.iter().all(|answer| answer.status() == StatusCode::OK));
    let refused = fixture.ask(get("/console/events")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "10");
    open.pop();
    assert_eq!(fixture.ask(get("/console/events")).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_queue() {
    let fixture = Fixture::new();
    let mut stream = open(&fixture, "/console/events").await;
    stream.next().await.unwrap();
    fixture.spool.close().await;
    while stream.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_server_is_closing() {
    let fixture = Fixture::new();
    let id = fixture.accept(draft("x")).await;
    let mut overview = open(&fixture, "/console/events").await;
    let mut message = open(&fixture, &format!("/console/messages/{id}/events")).await;
    overview.next().await.unwrap();
    message.next().await.unwrap();
    fixture.closing.send_replace(true);
    assert!(overview.next().await.is_none());
    assert!(message.next().await.is_none());
}
