//! `shivneri requeue` and `shivneri messages cancel`: an operator's word about single messages.

use clap::Args;
use serde::Deserialize;

use crate::{
    client::{Call, Client},
    exit::Exit,
    render,
};

/// What is to be sent again.
#[derive(Debug, Args)]
pub(crate) struct RequeueArgs {
    /// The messages' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Send again also what was perhaps sent: its recipients may get it twice.
    #[arg(long)]
    accept_duplicate: bool,
}

/// What is to be called off.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The messages' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    id: String,
    status: String,
}

/// Sends failed messages again, one by one; ends at the first that can't be.
pub(crate) async fn run(client: &Client, args: &RequeueArgs) -> anyhow::Result<Exit> {
    let body = format!(r#"{{"accept_duplicate":{}}}"#, args.accept_duplicate);
    for id in &args.ids {
        let call = Call::post(&["v1", "messages", id, "requeue"]).body(body.clone());
        change(client, &call).await?;
    }
    Ok(Exit::Done)
}

/// Calls messages off, one by one; ends at the first that can't be.
pub(crate) async fn cancel(client: &Client, args: &CancelArgs) -> anyhow::Result<Exit> {
    for id in &args.ids {
        change(client, &Call::post(&["v1", "messages", id, "cancel"])).await?;
    }
    Ok(Exit::Done)
}

async fn change(client: &Client, call: &Call) -> anyhow::Result<()> {
    let body = client.call(call).await?;
    let Changed { id, status } = client.read(&body)?;
    Ok(render::print(&format!("{id}  {status}\n"))?)
}
