//! `shivneri`, the operator's command line: sends mail, shows messages and providers, and steers
//! them, over the server's HTTP API and nothing else.

mod agents;
mod audit;
mod cli;
mod client;
mod exit;
mod messages;
mod providers;
mod render;
mod requeue;
mod send;
mod status;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    client::Client,
    exit::Exit,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("can't start")).into(),
    };
    let exit = runtime.block_on(run(cli)).unwrap_or_else(|error| report(&error));
    // A reader that still waits for stdin must not keep a finished program from ending.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let client = Client::new(&cli.url, std::env::var("SHIVNERI_API_KEY").ok().as_deref())?;
    match cli.command {
        Command::Send(args) => send::run(client, *args).await,
        Command::Status(args) => status::run(&client, &args).await,
        Command::Messages(command) => messages::run(&client, command).await,
        Command::Providers(command) => providers::run(&client, command).await,
        Command::Agents(command) => agents::run(&client, command).await,
        Command::Requeue(args) => requeue::run(&client, &args).await,
        Command::Audit(args) => audit::run(&client, &args).await,
    }
}

fn report(error: &anyhow::Error) -> Exit {
    eprintln!("{}", exit::describe(error));
    exit::of(error)
}
