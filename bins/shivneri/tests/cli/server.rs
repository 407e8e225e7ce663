//! A small server that answers by a script and remembers what it was asked.

use std::{
    net::SocketAddr,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

/// A request as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) key: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// What the server answers, by the number of the request (from 1) and the request itself.
pub(crate) type Script = Arc<dyn Fn(usize, &Seen) -> Response + Send + Sync>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Shared = (Script, Arc<Mutex<Vec<Seen>>>);

async fn answer(
    State((script, seen)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let request = Seen {
        line: format!("{method} {uri}"),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len()
    };
    script(number, &request)
}

impl Server {
    pub(crate) async fn start(
        script: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared: Shared = (Arc::new(script), Arc::clone(&seen));
        let app = Router::new().fallback(answer).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.seen().into_iter().filter_map(|request| request.key).collect();
        keys.sort();
        keys
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program(&format!("http://{}", self.address));
        command.args(arguments).output().await.unwrap()
    }
}

pub(crate) fn program(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shivneri"));
    command.env_clear().env("SHIVNERI_URL", url).kill_on_drop(true);
    command
}

pub(crate) fn json(status: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.to_owned()).into_response()
}

pub(crate) fn accepted(number: usize) -> Response {
    json(202, &format!(r#"{{"id":"0199-{number}","status":"queued"}}"#))
}

pub(crate) fn busy(status: u16, seconds: &'static str) -> Response {
    let body = r#"{"title":"The server can't do this for now","detail":"the queue is full"}"#;
    (StatusCode::from_u16(status).unwrap(), [("retry-after", seconds)], body).into_response()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", stderr(output)))
}

pub(crate) fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) const FLAGS: [&str; 9] =
    ["send", "--from", "a@example.com", "--to", "b@example.org", "--subject", "Hi", "--text", "x"];
