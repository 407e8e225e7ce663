//! The command line as the user types it.

use clap::{Args, Parser, Subcommand};

use crate::{
    agents::AgentsCommand, messages::MessagesCommand, providers::ProvidersCommand,
    requeue::RequeueArgs, send::SendArgs,
};

const AFTER_HELP: &str = "\
Environment:
  SHIVNERI_URL      where the server's HTTP API is; --url goes before it
  SHIVNERI_API_KEY  the API key; not needed on loopback until the first key exists
  NO_COLOR          set: no colours

Exit codes:
  0 done · 1 failure · 2 usage · 69 server unreachable · 75 server asks to come again later

Examples:
  shivneri send --from asha@example.com --to b@example.org --subject Hello --text 'It works.'
  shivneri send --file mails.jsonl
  shivneri messages list --status rejected --since 2h
  shivneri providers drain sendgrid-eu
  shivneri requeue 0199f6a1-… --accept-duplicate
  shivneri audit";

/// Send mail through a Shivneri server, look at messages, and steer its providers.
#[derive(Debug, Parser)]
#[command(name = "shivneri", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Where the server's HTTP API is.
    #[arg(
        long,
        global = true,
        env = "SHIVNERI_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8525",
        value_name = "URL"
    )]
    pub(crate) url: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send one message from flags, or many from files.
    Send(Box<SendArgs>),
    /// Show whether mail is accepted and sent, the providers, and what became of all mail.
    ///
    /// Ends with 75 while the server takes no mail.
    Status(Json),
    /// Look for messages, and at one with every attempt.
    #[command(subcommand)]
    Messages(MessagesCommand),
    /// Look at providers and steer them.
    #[command(subcommand)]
    Providers(ProvidersCommand),
    /// Look at agents' identities, add and revoke them.
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// Send failed messages again, with the lane's whole time before them.
    Requeue(RequeueArgs),
    /// Check that every accepted message is accounted for; ends with 1 if one is not.
    Audit(Json),
}

/// Whether the API's JSON is wanted instead of a table.
#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print the API's JSON unchanged.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_url_may_stand_before_or_after_the_command() {
        for line in [
            ["shivneri", "--url", "http://h:1", "audit"],
            ["shivneri", "audit", "--url", "http://h:1"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().url, "http://h:1");
        }
    }

    #[test]
    fn every_read_command_takes_json() {
        for line in [
            "status --json",
            "messages list --json",
            "messages show 0199 --json",
            "providers list --json",
            "providers mailbox sandbox-a --json",
            "agents list --json",
            "audit --json",
        ] {
            let words = ["shivneri"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
