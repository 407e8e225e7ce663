//! One email provider, run beside its credentials and served to a Shivneri server.

mod settings;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use secrecy::SecretString;
use shivneri_core::{AgentId, ProviderId};
use shivneri_transport::agent::{self, AgentError, AgentOptions, Exit, JournalError};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Serves one email provider to a Shivneri server.
///
/// The agent dials the server, so it can live behind NAT, beside its keys. Its token is read from
/// SHIVNERI_AGENT_TOKEN. It notes what it has begun in its state directory, so that after a crash
/// the server learns what went out; keep that directory over restarts.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    /// The server's address for agents, as http://127.0.0.1:8526
    #[arg(long, value_name = "URL")]
    server: String,
    /// The agent's name, which is its identity
    #[arg(long, value_name = "NAME")]
    id: AgentId,
    /// The kind of provider, as sendgrid, mailgun, ses, sandbox
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// The account it serves; several agents may serve one [default: the id]
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderId>,
    /// A TOML file with the provider's own settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One of the provider's own settings; may be repeated, and is stronger than the file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Sends at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: u32,
    /// Where the journal is kept [default: shivneri-agent- and the id, here]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// What proves the identity
    #[arg(long, env = "SHIVNERI_AGENT_TOKEN", hide_env_values = true, hide = true)]
    token: Option<String>,
}

const EXAMPLES: &str = "Examples:
  shivneri-agent --server http://127.0.0.1:8526 --id sandbox-1 --kind sandbox
  SHIVNERI_AGENT_TOKEN=… shivneri-agent --server http://mail.internal:8526 \\
      --id mailgun-1 --provider mailgun --kind mailgun --config mailgun.toml

Exit codes: 0 drained, 1 failure, 2 usage, 75 superseded or state directory in use, 78 refused or
wrong settings. SIGTERM and SIGINT drain; a second one ends at once.";

const TEMPORARY: u8 = 75;
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shivneri-agent: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shivneri-agent: {error:#}");
            ExitCode::from(code_of(&error))
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let own = settings::load(arguments.config.as_deref(), &arguments.set)?;
    let provider = match &arguments.provider {
        Some(provider) => provider.clone(),
        None => arguments.id.as_str().parse().context("--id is no provider's name")?,
    };
    let built = shivneri_providers::build(&arguments.kind, provider, own)?;
    let mut options = AgentOptions::new(arguments.server, arguments.id);
    options.token = arguments.token.map(SecretString::from);
    options.window = arguments.window;
    options.drain = Duration::from_secs(30);
    if let Some(state) = arguments.state {
        options.state_dir = state;
    }
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let (drain, drained) = tokio::sync::oneshot::channel::<()>();
    let signals = async {
        tokio::select! { _ = interrupted.recv() => {} _ = terminated.recv() => {} }
        tracing::info!("draining; a second signal ends at once");
        // Nobody listens any more where the agent has ended by itself.
        let _ = drain.send(());
        tokio::select! { _ = interrupted.recv() => {} _ = terminated.recv() => {} }
    };
    let serving = agent::serve(built.provider, options, async {
        let _ = drained.await;
    });
    tokio::select! {
        ended = serving => Ok(match ended? {
            Exit::Drained => ExitCode::SUCCESS,
            Exit::CutShort { running, unacknowledged } => {
                eprintln!("shivneri-agent: cut short: {running} sends in doubt, {unacknowledged} outcomes to report at the next start");
                ExitCode::FAILURE
            }
            Exit::Superseded => {
                eprintln!("shivneri-agent: another process took over this agent's name");
                ExitCode::from(TEMPORARY)
            }
        }),
        () = signals => Ok(ExitCode::FAILURE),
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<AgentError>() {
        Some(AgentError::Journal(JournalError::InUse { .. })) => TEMPORARY,
        Some(AgentError::Journal(_)) => 1,
        Some(AgentError::Server { .. } | AgentError::Refused { .. }) => CONFIG,
        None if error.is::<shivneri_providers::BuildError>() => CONFIG,
        None if error.is::<settings::SettingsError>() => CONFIG,
        None => 1,
    }
}

/// Human on a terminal, one JSON object a line otherwise.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SHIVNERI_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
