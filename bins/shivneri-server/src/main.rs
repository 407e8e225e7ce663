//! The main server of Shivneri.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use shivneri_server::{
    Server, StartError,
    cli::{Cli, Command},
    commands, demo, signals,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shivneri-server: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shivneri-server: {error:#}");
            ExitCode::from(error.downcast_ref::<StartError>().map_or(1, StartError::exit_code))
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let said = match cli.command {
        Some(Command::Demo) => {
            let good = demo::run().await?;
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::DemoAgent(arguments)) => {
            let mut signals = signals()?;
            demo::serve_agent(arguments, async move { signals.next().await }).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Check) => commands::check(load(cli.serve)?)?,
        Some(Command::Agents(command)) => commands::agents(&load(cli.serve)?, command).await?,
        Some(Command::Keys(command)) => commands::keys(&load(cli.serve)?, command).await?,
        None => {
            serve(cli.serve).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    println!("{said}");
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: shivneri_server::cli::ServeArgs) -> Result<shivneri_server::Config, StartError> {
    Ok(arguments.source().load()?)
}

async fn serve(arguments: shivneri_server::cli::ServeArgs) -> anyhow::Result<()> {
    if let Some(address) = &arguments.smtp {
        tracing::warn!(%address, "SMTP is not built yet, --smtp opens no door");
    }
    let config = load(arguments)?;
    let dev = config.dev;
    // Before the doors open: a signal that comes early drains as well.
    let signals = signals()?;
    let server = Server::builder(config).start().await?;
    println!("{}", server.ready_line());
    if dev {
        println!("{}", greeting(&server));
    }
    Ok(server.run(signals).await?)
}

/// What a newcomer can do next.
fn greeting(server: &Server) -> String {
    let http = server.http_address();
    format!(
        "\nShivneri is ready to take mail, and sends it to two sandboxes.\n\n\
         console   http://{http}/\n\
         compose   http://{http}/compose\n\n\
         Send one:\n\
         curl http://{http}/v1/messages -H 'content-type: application/json' -d '{{\"from\": \"you@example.com\", \
         \"to\": [\"friend@example.org\"], \"subject\": \"Hello\", \"text\": \"It works.\"}}'\n\n\
         See it in a sandbox's mailbox:\n\
         curl -s http://{http}/v1/providers/sandbox-a/mailbox http://{http}/v1/providers/sandbox-b/mailbox\n"
    )
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
