use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, interval};

use super::{Build, Fails, Process, program_of};

/// A server process and its API.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    dir: tempfile::TempDir,
    build: Build,
    data: PathBuf,
    http: String,
    agents: String,
    client: reqwest::Client,
    log: Option<&'static str>,
}

impl Server {
    /// Starts a server with this configuration in a directory of its own.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, Build::Ordinary, Fails::Never)
    }

    /// Starts one of this build in this directory.
    pub(crate) fn start_in(
        dir: tempfile::TempDir,
        config: &str,
        build: Build,
        fails: Fails<'_>,
    ) -> Self {
        Self::open(dir, config, build, fails, None, reqwest::Client::new())
    }

    /// Starts one that logs whatever it can, and is called with this key.
    pub(crate) fn start_telling_all(dir: tempfile::TempDir, config: &str, key: &str) -> Self {
        let headers =
            [("authorization".parse().unwrap(), format!("Bearer {key}").parse().unwrap())];
        let client = reqwest::Client::builder().default_headers(headers.into_iter().collect());
        let client = client.build().unwrap();
        Self::open(dir, config, Build::Ordinary, Fails::Never, Some("trace"), client)
    }

    fn open(
        dir: tempfile::TempDir,
        config: &str,
        build: Build,
        fails: Fails<'_>,
        log: Option<&'static str>,
        client: reqwest::Client,
    ) -> Self {
        std::fs::write(dir.path().join("shivneri.toml"), config).unwrap();
        let data = dir.path().join("data");
        let mut process = spawn(build, dir.path(), &data, (":0", ":0"), fails, log);
        let (http, agents) = ready(&mut process);
        Self { process, dir, build, data, http, agents, client, log }
    }

    /// `kill -9`, and up again at the same addresses with the same data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.process.kill();
        self.restart();
    }

    /// SIGTERM, and the exit code it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.process.terminate()
    }

    /// Starts it again at the same addresses with the same data.
    pub(crate) fn restart(&mut self) {
        self.process = self.spawn_again(Fails::Never);
        ready(&mut self.process);
    }

    /// Starts it again with a failpoint at which it dies by itself.
    pub(crate) async fn die_at_start(&mut self, failpoint: &str) {
        self.process = self.spawn_again(Fails::AtOnce(failpoint));
        self.process.died().await;
    }

    fn spawn_again(&self, fails: Fails<'_>) -> Process {
        spawn(self.build, self.dir.path(), &self.data, (&self.http, &self.agents), fails, self.log)
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn build(&self) -> Build {
        self.build
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn agents(&self) -> &str {
        &self.agents
    }

    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(self.url(path)).json(body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Posts this text; the answer's status.
    pub(crate) async fn post_any(&self, path: &str, body: String) -> u16 {
        let request = self.client.post(self.url(path)).body(body);
        let request = request.header("content-type", "application/json");
        request.send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn delete(&self, path: &str) {
        let answer = self.client.delete(self.url(path)).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await
    }

    pub(crate) async fn status_of(&self, provider: &str) -> Option<String> {
        let providers = self.get("/v1/providers").await;
        let found = providers["data"].as_array().unwrap().iter().find(|p| p["id"] == provider)?;
        found["status"].as_str().map(str::to_owned)
    }

    /// The gauge: how many messages may have been sent twice, or be sent twice yet.
    pub(crate) async fn duplicates_bound(&self) -> u64 {
        let answer = self.client.get(self.url("/metrics")).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("shivneri_possible_duplicates_bound "));
        line.unwrap().parse::<f64>().unwrap() as u64
    }

    /// Looks until a provider has one of these statuses.
    pub(crate) async fn wait_for_status(&self, provider: &str, wanted: &[&str], within: Duration) {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(20));
        loop {
            let status = self.status_of(provider).await;
            if status.as_deref().is_some_and(|status| wanted.contains(&status)) {
                return;
            }
            assert!(
                begun.elapsed() < within,
                "{provider} is {status:?}, not one of {wanted:?}, after {within:?}"
            );
            ticker.tick().await;
        }
    }
}

fn spawn(
    build: Build,
    dir: &Path,
    data: &Path,
    (http, agents): (&str, &str),
    fails: Fails<'_>,
    log: Option<&str>,
) -> Process {
    let mut command = Command::new(program_of(build, "shivneri-server"));
    command.arg("--config").arg(dir.join("shivneri.toml"));
    command.args(["--http", http, "--agents", agents, "--data"]).arg(data);
    command.envs(log.map(|level| ("SHIVNERI_LOG", level)));
    Process::spawn_to_fail("server", dir, &mut command, fails)
}

/// Waits for the line that says where everything is: HTTP and the agents' door.
fn ready(process: &mut Process) -> (String, String) {
    let ready = process.line("ready ");
    let of = |key: &str| {
        let word = ready.split_whitespace().find_map(|word| word.strip_prefix(key));
        word.unwrap_or_else(|| panic!("no {key} in {ready:?}")).to_owned()
    };
    (of("http="), of("agents="))
}
