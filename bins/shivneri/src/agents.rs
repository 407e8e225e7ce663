//! `shivneri agents`: the identities that agents register with.

use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::{
    cli::Json,
    client::{Call, Client},
    exit::Exit,
    render::{self, Look, Table, or_dash},
};

/// What may be asked about agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List the identities.
    List(Json),
    /// Add an identity and print its token, which is shown this once.
    ///
    /// The token alone goes to stdout, so that it can be put where the agent finds it:
    /// SHIVNERI_AGENT_TOKEN=$(shivneri agents add mailgun-1)
    #[command(verbatim_doc_comment)]
    Add(AddArgs),
    /// Revoke identities; their agents are cut off.
    Revoke(RevokeArgs),
}

/// The identity to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The agent's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The provider account it serves; the id itself where it is left out.
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Print the API's JSON unchanged.
    #[arg(long)]
    json: bool,
}

/// The identities to revoke.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The agents' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Agents {
    data: Vec<Agent>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: String,
    provider: Option<String>,
    created_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Added {
    id: String,
    token: String,
}

fn table(agents: &Agents, look: Look) -> String {
    if agents.data.is_empty() {
        return "no identities: agents are welcome on loopback only\n".into();
    }
    let mut table = Table::new(&["AGENT", "PROVIDER", "CREATED"]);
    for agent in &agents.data {
        table.row([
            agent.id.clone(),
            or_dash(agent.provider.as_deref()),
            or_dash(agent.created_at.as_deref()),
        ]);
    }
    table.text(look)
}

/// Carries out what was asked.
pub(crate) async fn run(client: &Client, command: AgentsCommand) -> anyhow::Result<Exit> {
    match command {
        AgentsCommand::List(args) => {
            let body = client.call(&Call::get(&["v1", "agents"])).await?;
            if args.json {
                render::print_json(&body)?;
            } else {
                render::print(&table(&client.read(&body)?, Look::of_stdout()))?;
            }
        }
        AgentsCommand::Add(args) => add(client, &args).await?,
        AgentsCommand::Revoke(args) => {
            for id in &args.ids {
                let call = Call::new(reqwest::Method::DELETE, &["v1", "agents", id.as_str()]);
                client.call(&call).await?;
                render::print(&format!("{id}: revoked\n"))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn add(client: &Client, args: &AddArgs) -> anyhow::Result<()> {
    let json = serde_json::json!({
        "id": args.id,
        "provider": args.provider.as_deref().unwrap_or(&args.id),
    });
    let body = client.call(&Call::post(&["v1", "agents"]).body(json.to_string())).await?;
    if args.json {
        return Ok(render::print_json(&body)?);
    }
    let added: Added = client.read(&body)?;
    eprintln!("agent {} is added; its token is shown this once:", render::clean(&added.id));
    render::print(&format!("{}\n", render::clean(&added.token)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_shows_the_account_it_serves() {
        let json = r#"{"data":[{"id":"mailgun-1","provider":"mailgun","created_at":null}]}"#;
        let text = table(&serde_json::from_str(json).unwrap(), Look::Plain);
        assert_eq!(text, "AGENT      PROVIDER  CREATED\nmailgun-1  mailgun   -\n");
    }
}
