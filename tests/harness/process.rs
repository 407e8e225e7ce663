use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Endpoint, Server};

/// A child process, killed when dropped. What it logs goes to a file in the story's directory.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(name: &str, dir: &Path, command: &mut Command) -> Self {
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log")));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} could not be started: {error}"));
        Self { child }
    }

    /// The rest of the first line of its output that begins with `prefix`.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let stdout = self.child.stdout.as_mut().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
            .unwrap_or_else(|| panic!("the process ended before it said {prefix:?}"))
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

    /// SIGTERM, and the exit code it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }

    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
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

/// Where a program is: in the directory that `SHIVNERI_PROGRAMS` names, or, built now where that
/// is not set, beside this test's own helpers.
pub(crate) fn program(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| match std::env::var_os("SHIVNERI_PROGRAMS") {
        Some(dir) => dir.into(),
        None => built(),
    });
    dir.join(name)
}

fn built() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--locked", "--quiet"])
        .args(["-p", "shivneri-server", "-p", "shivneri-agent", "-p", "shivneri"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .unwrap();
    assert!(status.success(), "the programs could not be built");
    Path::new(env!("CARGO_BIN_EXE_fake-provider")).parent().unwrap().to_owned()
}

/// An agent process.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) process: Process,
}

impl Agent {
    /// Starts an agent of this kind against a fake endpoint. The same name has the same journal.
    pub(crate) fn start(server: &Server, name: &str, endpoint: &Endpoint) -> Self {
        let dir = server.dir();
        let set = |key: &str, value: &str| format!("{key}={value}");
        let mut command = Command::new(program("shivneri-agent"));
        command
            .args(["--server", &format!("http://{}", server.agents())])
            .args(["--id", name, "--kind", endpoint.kind(), "--state"])
            .arg(dir.join(format!("state-{name}")))
            .args(["--set", &set("base_url", &endpoint.url())]);
        for (key, value) in endpoint.credentials() {
            command.args(["--set", &set(key, value)]);
        }
        Self { process: Process::spawn(name, dir, &mut command) }
    }

    /// The same in Python, for Mailgun alone.
    pub(crate) fn start_python(server: &Server, name: &str, endpoint: &Endpoint) -> Self {
        let state = server.dir().join(format!("state-{name}"));
        Self::start_python_in(&state, server, name, endpoint)
    }

    /// The same with its journal in this directory.
    pub(crate) fn start_python_in(
        state: &Path,
        server: &Server,
        name: &str,
        endpoint: &Endpoint,
    ) -> Self {
        let mut command = python_agent();
        command
            .args(["--server", &format!("http://{}", server.agents())])
            .args(["--id", name, "--domain", "example.com", "--base-url", &endpoint.url()])
            .arg("--state")
            .arg(state)
            .env("MAILGUN_API_KEY", "key-test");
        Self { process: Process::spawn(name, server.dir(), &mut command) }
    }
}

/// The agent in Python, on Debian's own Python, for that one has the packages.
pub(crate) fn python_agent() -> Command {
    let command = || {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/python_agent")]);
        command.env_remove("SHIVNERI_AGENT_TOKEN");
        command
    };
    static RUNS: OnceLock<()> = OnceLock::new();
    RUNS.get_or_init(|| {
        let output = command().arg("--help").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "tests/run installs what the agent in Python needs: {said}"
        );
    });
    command()
}
