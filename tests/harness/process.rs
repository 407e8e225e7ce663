use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::time::{Instant, interval};

/// Whether and when a process is to come to a failpoint. Programs without any do not look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fails<'a> {
    Never,
    /// At this one, from its start on.
    AtOnce(&'a str),
    /// At this one, once it is armed.
    Armed(&'a str),
}

/// A child process, killed when dropped. What it logs goes to a file in the story's directory.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    /// The file whose presence makes its failpoint count.
    armed: PathBuf,
}

impl Process {
    pub(crate) fn spawn(name: &str, dir: &Path, command: &mut Command) -> Self {
        Self::spawn_to_fail(name, dir, command, Fails::Never)
    }

    /// The same of a program that may be made to fail.
    pub(crate) fn spawn_to_fail(
        name: &str,
        dir: &Path,
        command: &mut Command,
        fails: Fails<'_>,
    ) -> Self {
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")));
        let armed = dir.join(format!("{name}.armed"));
        // Left by a process before.
        let _ = std::fs::remove_file(&armed);
        match fails {
            Fails::Never => command.env_remove("SHIVNERI_FAILPOINT"),
            Fails::AtOnce(point) => {
                command.env("SHIVNERI_FAILPOINT", point).env_remove("SHIVNERI_FAILPOINT_ARMED")
            }
            Fails::Armed(point) => {
                command.env("SHIVNERI_FAILPOINT", point).env("SHIVNERI_FAILPOINT_ARMED", &armed)
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} could not be started: {error}"));
        Self { name: name.to_owned(), child, armed }
    }

    /// The rest of the first line of its output that begins with `prefix`.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let stdout = self.child.stdout.as_mut().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
            .unwrap_or_else(|| panic!("{} ended before it said {prefix:?}", self.name))
    }

    /// Makes its failpoint count from now on.
    pub(crate) fn arm(&self) {
        std::fs::write(&self.armed, "").unwrap();
    }

    /// Makes it count no more.
    pub(crate) fn disarm(&self) {
        std::fs::remove_file(&self.armed).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(10));
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < within, "{} still runs after {within:?}", self.name);
            ticker.tick().await;
        }
    }

    /// Waits until it has died at its failpoint: nobody else kills it.
    pub(crate) async fn died(&mut self) {
        let status = self.end(Duration::from_secs(30)).await;
        assert_eq!(status.signal(), Some(9), "{} ended by itself: {status}", self.name);
    }

    /// SIGTERM, and the exit code it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ask_to_end();
        self.child.wait().unwrap().code()
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP; returns once it stands still. Until then a program with several threads goes on:
    /// the one that finds the signal has to run to stop the others.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        waitid(WaitId::Pid(Pid::from_child(&self.child)), WaitIdOptions::STOPPED).unwrap();
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
