use std::process::Command;

use super::{Endpoint, Fails, Process, Server, program_of};

/// An agent process.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) process: Process,
}

impl Agent {
    /// Starts an agent of this kind against a fake endpoint. The same name has the same journal.
    pub(crate) fn start(server: &Server, name: &str, endpoint: &Endpoint) -> Self {
        Self::start_to_fail(server, name, endpoint, Fails::Never)
    }

    /// The same of an agent that may be made to fail.
    pub(crate) fn start_to_fail(
        server: &Server,
        name: &str,
        endpoint: &Endpoint,
        fails: Fails<'_>,
    ) -> Self {
        let mut command = Self::command(server, name, endpoint, endpoint.credentials());
        Self { process: Process::spawn_to_fail(name, server.dir(), &mut command, fails) }
    }

    /// What starts an agent with these credentials.
    pub(crate) fn command(
        server: &Server,
        name: &str,
        endpoint: &Endpoint,
        credentials: &[(&str, &str)],
    ) -> Command {
        let set = |key: &str, value: &str| format!("{key}={value}");
        let mut command = Command::new(program_of(server.build(), "shivneri-agent"));
        command
            .args(["--server", &format!("http://{}", server.agents())])
            .args(["--id", name, "--kind", endpoint.kind(), "--state"])
            .arg(server.dir().join(format!("state-{name}")))
            .args(["--set", &set("base_url", &endpoint.url())]);
        for (key, value) in credentials {
            command.args(["--set", &set(key, value)]);
        }
        command
    }
}
