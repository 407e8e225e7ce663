//! The demo's processes, each of them this same program.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// A child that is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Child {
    inner: tokio::process::Child,
    pid: u32,
}

impl Child {
    /// Starts this program with other arguments; what it logs goes to a file.
    pub(super) fn spawn(name: &str, dir: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let log =
            File::options().create(true).append(true).open(dir.join(format!("{name}.log")))?;
        let program = std::env::current_exe().context("this program's own path is not known")?;
        let inner = Command::new(program)
            .args(arguments)
            .env_remove("SHIVNERI_AGENT_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let pid = inner.id().context("it ended at once")?;
        Ok(Self { inner, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.inner.start_kill()?)
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        Ok(self.inner.kill().await?)
    }
}

/// Waits for the server's `ready` line: where HTTP and agents are served.
pub(super) async fn ready_line(server: &mut Child) -> anyhow::Result<(String, String)> {
    let stdout = server.inner.stdout.take().context("its output is not piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let reading = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(rest) = line.strip_prefix("ready ") {
                let of = |key: &str| {
                    rest.split_whitespace()
                        .find_map(|word| word.strip_prefix(key))
                        .map(str::to_owned)
                };
                let http = of("http=").context("no http address")?;
                let agents = of("agents=").context("no agents address")?;
                return Ok((http, agents));
            }
        }
        bail!("it ended without a word")
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.context("it took over 10 s")?
}
