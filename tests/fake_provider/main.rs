//! An email API that takes everything and writes down what it took, to be killed, stopped and
//! broken by the stories.
//!
//! `fake-provider KIND LOG [HOST:PORT]` prints `listening HOST:PORT`. `POST /_mode/ok`,
//! `/_mode/503`, `/_mode/429+6` and `/_mode/hold` set how it answers: as the API does, with a status,
//! with one and a Retry-After in seconds, or not before another mode is set. Each mail it took is one line in LOG: the message's id. `GET
//! /_largest` tells the size of the largest request in bytes.

use std::{
    fs::File,
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use tokio::sync::watch;

/// How long a mail takes.
const LATENCY: Duration = Duration::from_millis(20);

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AsTheApiDoes,
    /// With this status, and seconds after which to come again.
    Broken(StatusCode, Option<u64>),
    /// It takes the mail and says nothing.
    Hold,
}

#[derive(Debug)]
struct Api {
    kind: String,
    log: Mutex<File>,
    mode: watch::Sender<Mode>,
    count: AtomicU64,
    largest: AtomicUsize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(kind), Some(log)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fake-provider KIND LOG [HOST:PORT]".into());
    };
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let api = Arc::new(Api {
        kind,
        log: Mutex::new(File::options().create(true).append(true).open(log)?),
        mode: watch::Sender::new(Mode::AsTheApiDoes),
        count: AtomicU64::new(0),
        largest: AtomicUsize::new(0),
    });
    let router = Router::new()
        .route("/_mode/{mode}", post(set_mode))
        .route("/_largest", get(largest))
        .route("/{*path}", get(probe).post(send))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(api);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening {}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn set_mode(State(api): State<Arc<Api>>, Path(mode): Path<String>) -> StatusCode {
    let mode = match mode.as_str() {
        "ok" => Mode::AsTheApiDoes,
        "hold" => Mode::Hold,
        text => match broken_mode(text) {
            Some(mode) => mode,
            None => return StatusCode::BAD_REQUEST,
        },
    };
    api.mode.send_replace(mode);
    StatusCode::NO_CONTENT
}

/// A status, and seconds where a `+` follows.
fn broken_mode(text: &str) -> Option<Mode> {
    let (status, pause) = match text.split_once('+') {
        Some((status, pause)) => (status, Some(pause.parse().ok()?)),
        None => (text, None),
    };
    Some(Mode::Broken(status.parse().ok()?, pause))
}

async fn largest(State(api): State<Arc<Api>>) -> String {
    api.largest.load(Relaxed).to_string()
}

fn broken(api: &Api) -> Option<Response> {
    match *api.mode.borrow() {
        Mode::Broken(status, pause) => {
            let mut response = (status, "out of order").into_response();
            if let Some(seconds) = pause {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            Some(response)
        }
        Mode::AsTheApiDoes | Mode::Hold => None,
    }
}

async fn probe(State(api): State<Arc<Api>>) -> Response {
    let answer = r#"{"scopes":["mail.send"],"items":[],"SendingEnabled":true}"#;
    broken(&api).unwrap_or_else(|| json(StatusCode::OK, answer.to_owned()))
}

async fn send(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    tokio::time::sleep(LATENCY).await;
    if let Some(broken) = broken(&api) {
        return broken;
    }
    let Some(id) = message_id(&headers, &body) else {
        return json(StatusCode::BAD_REQUEST, format!(r#"{{"message":"no id in {uri}"}}"#));
    };
    api.largest.fetch_max(body.len(), Relaxed);
    let line = format!("{id}\n");
    api.log
        .lock()
        .expect("no holder panics")
        .write_all(line.as_bytes())
        .expect("the log is writable");
    let mut mode = api.mode.subscribe();
    // The sender lives as long as `api`.
    let _ = mode.wait_for(|mode| *mode != Mode::Hold).await;
    let number = api.count.fetch_add(1, Relaxed);
    match api.kind.as_str() {
        "sendgrid" => {
            let mut response = StatusCode::ACCEPTED.into_response();
            let id = format!("sg-{number}").parse().unwrap_or(HeaderValue::from_static("sg"));
            response.headers_mut().insert("x-message-id", id);
            response
        }
        "mailgun" => {
            let body =
                format!(r#"{{"id":"<{number}@example.com>","message":"Queued. Thank you."}}"#);
            json(StatusCode::OK, body)
        }
        _ => json(StatusCode::OK, format!(r#"{{"MessageId":"ses-{number}"}}"#)),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "application/json")], body).into_response()
}

/// The id that each API carries along under `shivneri_id`: the first UUID after that word.
fn message_id(_: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let after = text.find("shivneri_id")? + "shivneri_id".len();
    let rest = &text[after..];
    let is_uuid = |candidate: &str| {
        candidate.len() == 36
            && candidate.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    (0..rest.len().saturating_sub(35))
        .filter_map(|at| rest.get(at..at + 36))
        .find(|candidate| is_uuid(candidate))
        .map(str::to_owned)
}
