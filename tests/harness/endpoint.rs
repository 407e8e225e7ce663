use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::{Instant, interval};

use super::Process;

/// A fake email API in a process of its own, with the list of what it took.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) process: Process,
    kind: &'static str,
    address: String,
    log: PathBuf,
}

impl Endpoint {
    pub(crate) fn start(kind: &'static str, dir: &Path) -> Self {
        Self::listen(kind, dir, "127.0.0.1:0")
    }

    fn listen(kind: &'static str, dir: &Path, address: &str) -> Self {
        let log = dir.join(format!("{kind}-took"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-provider"));
        command.arg(kind).arg(&log).arg(address);
        let mut process = Process::spawn(&format!("{kind}-api"), dir, &mut command);
        let address = process.line("listening ");
        Self { process, kind, address, log }
    }

    /// Starts it again where it was, after it was killed.
    pub(crate) fn restart(&mut self, dir: &Path) {
        *self = Self::listen(self.kind, dir, &self.address);
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn credentials(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            "mailgun" => &[("api_key", "key-test"), ("domain", "example.com")],
            "ses" => &[
                ("access_key_id", "AKIDEXAMPLE"),
                ("secret_access_key", "test"),
                ("region", "eu-west-1"),
            ],
            _ => &[("api_key", "SG.test")],
        }
    }

    /// The ids of the mails it took, each time it took them.
    pub(crate) fn took(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it took so many mails in all.
    pub(crate) async fn until_took(&self, count: usize) {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(20));
        while self.took().len() < count {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{} took {}",
                self.kind,
                self.took().len()
            );
            ticker.tick().await;
        }
    }

    /// Answers with this status from now on; `ok`: as the API does.
    pub(crate) async fn set_mode(&self, mode: &str) {
        let url = format!("{}/_mode/{mode}", self.url());
        reqwest::Client::new().post(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// The size of the largest request it took, in bytes.
    pub(crate) async fn largest(&self) -> usize {
        let answer = reqwest::get(format!("{}/_largest", self.url())).await.unwrap();
        answer.text().await.unwrap().parse().unwrap()
    }
}
