use std::{path::Path, process::Command, sync::OnceLock};

use super::{Agent, Endpoint, Process, Server};

impl Agent {
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
