//! `shivneri send`: one message from flags, or many from files.

mod args;
mod eml;
mod follow;
mod jsonl;
mod message;
mod offer;
mod progress;
mod run;
mod single;
mod source;
mod summary;

pub(crate) use args::SendArgs;

use crate::{client::Client, exit::Exit};

/// Sends what the arguments describe.
pub(crate) async fn run(client: Client, args: SendArgs) -> anyhow::Result<Exit> {
    args.check()?;
    if args.file.is_empty() {
        single::run(client, &args).await
    } else {
        run::run(client, &args).await
    }
}
