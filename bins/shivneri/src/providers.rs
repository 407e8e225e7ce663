//! `shivneri providers`: what they are doing, and the operator's word to them.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    cli::Json,
    client::{Call, Client},
    exit::Exit,
    render::{self, Look, Table, or_dash},
};

/// What may be asked about providers.
#[derive(Debug, Subcommand)]
pub(crate) enum ProvidersCommand {
    /// List every provider with its status, share, latency and counts.
    List(Json),
    /// Let providers finish what they have, and give them nothing new.
    Drain(Ids),
    /// Give drained providers mail again.
    Resume(Ids),
    /// Take providers out of use at once, until they are enabled again.
    Disable(Ids),
    /// Put disabled providers to use again.
    Enable(Ids),
    /// Show what a sandbox provider took, newest first.
    Mailbox(MailboxArgs),
}

/// Which providers.
#[derive(Debug, Args)]
pub(crate) struct Ids {
    /// The providers' ids, as `providers list` shows them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Whose mailbox.
#[derive(Debug, Args)]
pub(crate) struct MailboxArgs {
    /// The sandbox provider's id.
    #[arg(value_name = "ID")]
    id: String,
    /// How many to show at most; all that are kept where it is left out.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    json: Json,
}

/// The API's list of providers.
#[derive(Debug, Deserialize)]
pub(crate) struct Providers {
    data: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
struct Provider {
    id: String,
    kind: String,
    status: String,
    reason: Option<String>,
    since: Option<String>,
    tier: Option<u64>,
    weight: Option<f64>,
    share: Option<f64>,
    window: Option<u64>,
    in_flight: Option<u64>,
    #[serde(default)]
    latency_ms: Latency,
    #[serde(default)]
    counts: Counts,
    #[serde(default)]
    agents: Vec<ProviderAgent>,
}

#[derive(Debug, Default, Deserialize)]
struct Latency {
    p50: Option<f64>,
    p95: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    accepted: u64,
    rejected: u64,
    throttled: u64,
    unavailable: u64,
    in_doubt: u64,
}

#[derive(Debug, Deserialize)]
struct ProviderAgent {
    id: String,
    session: Option<String>,
}

impl Provider {
    fn row(&self, now: Timestamp) -> [String; 16] {
        let millis = |value: Option<f64>| or_dash(value.map(|ms| format!("{ms:.0}")));
        let agents = self.agents.iter().map(|agent| match &agent.session {
            Some(session) => format!("{} ({session})", agent.id),
            None => agent.id.clone(),
        });
        [
            self.id.clone(),
            self.kind.clone(),
            self.status.clone(),
            or_dash(self.since.as_deref().map(|since| render::age(since, now))),
            or_dash(self.tier),
            or_dash(self.weight),
            or_dash(self.share.map(|share| format!("{:.0}%", share * 100.0))),
            format!("{}/{}", or_dash(self.in_flight), or_dash(self.window)),
            format!("{}/{}", millis(self.latency_ms.p50), millis(self.latency_ms.p95)),
            render::grouped(self.counts.accepted),
            render::grouped(self.counts.rejected),
            render::grouped(self.counts.throttled),
            render::grouped(self.counts.unavailable),
            render::grouped(self.counts.in_doubt),
            or_dash(Some(agents.collect::<Vec<_>>().join(", "))),
            or_dash(self.reason.as_deref()),
        ]
    }
}

/// The providers as a table, or a sentence when there is none.
pub(crate) fn table(providers: &Providers, now: Timestamp, look: Look) -> String {
    if providers.data.is_empty() {
        return "no providers: name one in the server's config, or start an agent\n".into();
    }
    let mut table = Table::new(&[
        "PROVIDER",
        "KIND",
        "STATUS",
        "FOR",
        "TIER",
        "WEIGHT",
        "SHARE",
        "IN FLIGHT",
        "P50/P95 MS",
        "ACCEPTED",
        "REJECTED",
        "THROTTLED",
        "UNAVAILABLE",
        "IN DOUBT",
        "AGENTS",
        "REASON",
    ]);
    for provider in &providers.data {
        table.row(provider.row(now));
    }
    table.text(look)
}

/// The call that lists them.
pub(crate) fn list_call() -> Call {
    Call::get(&["v1", "providers"])
}

#[derive(Debug, Deserialize)]
struct Mailbox {
    data: Vec<Mail>,
}

#[derive(Debug, Deserialize)]
struct Mail {
    message_id: Option<String>,
    received_at: Option<String>,
    from: Option<serde_json::Value>,
    to: Option<serde_json::Value>,
    subject: Option<String>,
    #[serde(default)]
    attachments: Vec<serde_json::Value>,
}

fn mailbox_table(mailbox: &Mailbox, look: Look) -> String {
    if mailbox.data.is_empty() {
        return "the mailbox is empty\n".into();
    }
    let mut table = Table::new(&["RECEIVED", "MESSAGE", "FROM", "TO", "SUBJECT", "ATTACHMENTS"]);
    for mail in &mailbox.data {
        table.row([
            or_dash(mail.received_at.as_deref()),
            or_dash(mail.message_id.as_deref()),
            or_dash(mail.from.as_ref().map(render::addresses)),
            or_dash(mail.to.as_ref().map(render::addresses)),
            or_dash(mail.subject.as_deref()),
            mail.attachments.len().to_string(),
        ]);
    }
    table.text(look)
}

/// Carries out what was asked.
pub(crate) async fn run(client: &Client, command: ProvidersCommand) -> anyhow::Result<Exit> {
    match command {
        ProvidersCommand::List(args) => {
            let body = client.call(&list_call()).await?;
            if args.json {
                render::print_json(&body)?;
            } else {
                render::print(&table(&client.read(&body)?, Timestamp::now(), Look::of_stdout()))?;
            }
        }
        ProvidersCommand::Drain(ids) => steer(client, &ids, "drain", "draining").await?,
        ProvidersCommand::Resume(ids) => steer(client, &ids, "resume", "resumed").await?,
        ProvidersCommand::Disable(ids) => steer(client, &ids, "disable", "disabled").await?,
        ProvidersCommand::Enable(ids) => steer(client, &ids, "enable", "enabled").await?,
        ProvidersCommand::Mailbox(args) => {
            let path = ["v1", "providers", args.id.as_str(), "mailbox"];
            let limit = args.limit.map(|limit| ("limit", limit.to_string()));
            let call = Call::get(&path).query(limit.into_iter().collect());
            let body = client.call(&call).await?;
            if args.json.json {
                render::print_json(&body)?;
            } else {
                render::print(&mailbox_table(&client.read(&body)?, Look::of_stdout()))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// One after another; the first that is refused ends it, and those before it are done.
async fn steer(client: &Client, ids: &Ids, word: &str, done: &str) -> anyhow::Result<()> {
    for id in &ids.ids {
        client.call(&Call::post(&["v1", "providers", id.as_str(), word])).await?;
        render::print(&format!("{id}: {done}\n"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-07-01T10:03:00Z".parse().unwrap()
    }

    #[test]
    fn a_provider_shows_status_share_latency_counts_and_agents() {
        let json = r#"{"data":[{"id":"mailgun","kind":"mailgun","status":"recovering",
            "reason":"ramp at 40 %","since":"2026-07-01T10:00:00Z","tier":0,"weight":3,
            "share":0.4,"window":64,"in_flight":5,"latency_ms":{"p50":41.2,"p95":120.0},
            "counts":{"accepted":1200,"rejected":2,"throttled":1,"unavailable":7,"in_doubt":0},
            "quota":[],"agents":[{"id":"mailgun-1","generation":4,"session":"live","last_beat_ms":90}]}]}"#;
        let text = table(&serde_json::from_str(json).unwrap(), now(), Look::Plain);
        let row = text.lines().nth(1).unwrap();
        let cells: Vec<_> =
            row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let expected = [
            "mailgun",
            "mailgun",
            "recovering",
            "3m",
            "0",
            "3",
            "40%",
            "5/64",
            "41/120",
            "1 200",
            "2",
            "1",
            "7",
            "0",
            "mailgun-1 (live)",
            "ramp at 40 %",
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_provider_nothing_is_known_of_yet_shows_dashes() {
        let json = r#"{"data":[{"id":"a","kind":"ses","status":"offline","reason":null,
            "latency_ms":{"p50":null,"p95":null}}]}"#;
        let text = table(&serde_json::from_str(json).unwrap(), now(), Look::Plain);
        assert!(text.contains("-/-"), "{text}");
    }

    #[test]
    fn no_providers_and_no_mail_are_said_in_words() {
        assert!(
            table(&Providers { data: Vec::new() }, now(), Look::Plain).contains("start an agent")
        );
        assert_eq!(
            mailbox_table(&Mailbox { data: Vec::new() }, Look::Plain),
            "the mailbox is empty\n"
        );
    }
}
