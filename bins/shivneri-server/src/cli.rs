//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Overrides, Source};

/// The mail service that survives its providers.
///
/// Without a configuration file it runs in dev mode: everything on loopback, two sandbox
/// providers, no keys needed.
#[derive(Debug, Parser)]
#[command(name = "shivneri-server", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where to find what.
    #[command(flatten)]
    pub serve: ServeArgs,
}

const EXAMPLES: &str = "Examples:
  shivneri-server                                  dev mode, mail to two sandboxes
  shivneri-server demo                             see a failover in 30 seconds
  shivneri-server --config /etc/shivneri.toml
  shivneri-server check --config /etc/shivneri.toml
  shivneri-server agents add mailgun-1 --provider mailgun --data /var/lib/shivneri

Any key of the configuration can be set by a variable, as SHIVNERI__HTTP__LISTEN; flags are stronger
than variables, variables stronger than the file. SHIVNERI_LOG sets what is logged, as debug or
shivneri_core=debug,info.

Exit codes: 0 ok, 1 failure, 2 usage, 69 an address is taken, 75 the data directory is in use,
78 wrong configuration. SIGTERM and SIGINT drain, a second one hurries.";

/// The flags of serving.
#[derive(Args, Debug, Default)]
pub struct ServeArgs {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The data directory [default: ./shivneri-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// Where the HTTP API and the console listen; :0 takes a free port [default: 127.0.0.1:8525]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Where agents connect [default: 127.0.0.1:8526]
    #[arg(long, value_name = "ADDR")]
    pub agents: Option<String>,
    /// Not built yet: opens no door, and the ready line says smtp=off
    #[arg(long, value_name = "ADDR")]
    pub smtp: Option<String>,
}

/// What the program can do beside serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration and say what it means, without starting anything
    Check,
    /// Agents' identities
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Start a server and two agents, kill one of them under load, and bring it back
    Demo,
    /// One of the demo's agents
    #[command(hide = true)]
    DemoAgent(DemoAgentArgs),
}

/// The flags of a demo's agent.
#[derive(Args, Debug)]
pub struct DemoAgentArgs {
    /// The server's address for agents
    #[arg(long)]
    pub server: String,
    /// The agent's name
    #[arg(long)]
    pub id: String,
    /// Where its journal and the list of what it took are kept
    #[arg(long)]
    pub state: PathBuf,
}

/// Agents' identities.
#[derive(Debug, Subcommand)]
pub enum AgentsCommand {
    /// Let an agent in: prints its token, once. Works while the server is down
    Add {
        /// The agent's name
        id: String,
        /// The account it serves [default: the agent's name]
        #[arg(long)]
        provider: Option<String>,
    },
}

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key: prints it, once. Works while the server is down
    Create {
        /// Whose key it is
        #[arg(long)]
        name: String,
        /// What it allows: send, read, admin
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
    },
}

impl ServeArgs {
    /// Where the configuration comes from.
    pub fn source(self) -> Source {
        let flags = Overrides { data: self.data, http: self.http, agents: self.agents };
        Source::of_process(self.config, flags)
    }
}
