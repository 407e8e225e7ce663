//! What the program does beside serving.

use std::sync::Arc;

use anyhow::Context as _;
use shivneri_ingress::{Scope, agents, keys};
use shivneri_spool::Spool;

use crate::{
    Config, Server, StartError,
    builder::open_spool,
    cli::{AgentsCommand, KeysCommand},
};

/// Checks a configuration, and says what it means.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(config: Config) -> Result<String, StartError> {
    let lines = [
        format!("http      {}", config.http),
        format!("agents    {}", config.agents),
        format!("spool     {}", config.spool.display()),
        format!("scheduler {}", config.scheduler),
    ];
    let mut text = lines.join("\n");
    for provider in &config.providers {
        let place = if provider.hosted { "in the server" } else { "served by agents" };
        let (id, kind, settings) = (&provider.id, &provider.kind, &provider.settings);
        text += &format!(
            "\nprovider  {id}: {kind}, {place}, weight {}, tier {}, window {}",
            settings.weight, settings.tier, settings.window
        );
    }
    if config.providers.is_empty() {
        text += "\nprovider  none: mail waits until an agent connects";
    }
    for agent in &config.identities {
        text += &format!("\nagent     {} for {}", agent.id, agent.provider);
    }
    for key in &config.keys {
        text += &format!("\nkey       {}: {}", key.name, key.scopes.join(", "));
    }
    Server::builder(config).check()?;
    Ok(text + "\nThe configuration is valid.")
}

/// Manages agents' identities in the spool of a server that is down.
///
/// # Errors
///
/// Where the spool can't be opened or the identity can't be kept.
pub async fn agents(config: &Config, command: AgentsCommand) -> anyhow::Result<String> {
    let AgentsCommand::Add { id, provider } = command;
    let provider = provider.unwrap_or_else(|| id.clone());
    let (id, provider) = (id.parse()?, provider.parse().context("--provider")?);
    let spool = open_spool(config).await?;
    let token = agents::add(spool.as_ref(), &id, &provider).await;
    closed(spool).await;
    Ok(format!("agent {id} may serve {provider}. Its token, shown only now:\n{}", token?))
}

/// Manages API keys in the spool of a server that is down.
///
/// # Errors
///
/// Where the spool can't be opened or the key can't be kept.
pub async fn keys(config: &Config, command: KeysCommand) -> anyhow::Result<String> {
    let KeysCommand::Create { name, scopes } = command;
    let scopes: Vec<Scope> =
        scopes.iter().map(|scope| scope.parse()).collect::<Result<_, _>>().context("--scopes")?;
    let spool = open_spool(config).await?;
    let key = keys::create(spool.as_ref(), &name, &scopes).await;
    closed(spool).await;
    Ok(format!("key {name}, shown only now:\n{}", key?.secret))
}

async fn closed(spool: Arc<dyn Spool>) {
    spool.close().await;
}
