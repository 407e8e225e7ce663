//! `shivneri messages`: look for messages, and at one with every attempt.

mod list;
mod show;
mod times;

use clap::{Args, Subcommand};

pub(crate) use list::ListArgs;

use crate::{
    cli::Json,
    client::{Call, Client},
    exit::Exit,
    render,
    requeue::{self, CancelArgs},
};

/// What may be asked about messages.
#[derive(Debug, Subcommand)]
pub(crate) enum MessagesCommand {
    /// List messages, newest first, narrowed by these filters.
    List(ListArgs),
    /// Show one message: its fields, its recipients, every attempt with its reason, its events.
    Show(ShowArgs),
    /// Call messages off that no provider may have got yet.
    Cancel(CancelArgs),
}

/// Which message.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The message's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    json: Json,
}

/// The call that asks for one message.
pub(crate) fn show_call(id: &str) -> Call {
    Call::get(&["v1", "messages", id])
}

/// Carries out what was asked.
pub(crate) async fn run(client: &Client, command: MessagesCommand) -> anyhow::Result<Exit> {
    match command {
        MessagesCommand::List(args) => list::run(client, &args).await?,
        MessagesCommand::Show(args) => {
            let body = client.call(&show_call(&args.id)).await?;
            if args.json.json {
                render::print_json(&body)?;
            } else {
                let message: show::Message = client.read(&body)?;
                render::print(&message.text(render::Look::of_stdout()))?;
            }
        }
        MessagesCommand::Cancel(args) => return requeue::cancel(client, &args).await,
    }
    Ok(Exit::Done)
}
