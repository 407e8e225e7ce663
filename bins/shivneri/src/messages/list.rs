//! `shivneri messages list`.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::times;
use crate::{
    cli::Json,
    client::{Call, Client},
    exit::usage,
    render::{self, Look, Table, or_dash},
};

/// Messages that one call is asked for at most.
const PAGE: u64 = 1000;

/// The filters, all of which must hold.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this status, as queued, sending, accepted, rejected or in_doubt.
    #[arg(long)]
    status: Option<String>,
    /// Only mail to this address.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only mail this provider was tried for.
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Only mail with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// Only mail with this text in its subject or addresses.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only mail accepted since then: a time (RFC 3339) or an age (90s, 5m, 2h, 3d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only mail accepted before then: a time or an age, as with --since.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many to show at most.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    status: String,
    accepted_at: Option<String>,
    from: Option<String>,
    #[serde(default)]
    recipients: Vec<String>,
    subject: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    in_doubt: bool,
    #[serde(default)]
    possible_duplicate: bool,
}

impl ListArgs {
    fn filters(&self, now: jiff::Timestamp) -> anyhow::Result<Vec<(&'static str, String)>> {
        let time = |name: &str, text: &Option<String>| -> anyhow::Result<Option<String>> {
            let Some(text) = text else { return Ok(None) };
            let time =
                times::before(text, now).map_err(|error| usage(format!("--{name}: {error}")))?;
            Ok(Some(time.to_string()))
        };
        let filters = [
            ("status", self.status.clone()),
            ("recipient", self.recipient.clone()),
            ("provider", self.provider.clone()),
            ("tag", self.tag.clone()),
            ("q", self.q.clone()),
            ("since", time("since", &self.since)?),
            ("until", time("until", &self.until)?),
        ];
        Ok(filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

fn page_call(filters: &[(&'static str, String)], cursor: Option<&str>, limit: u64) -> Call {
    let mut query = filters.to_vec();
    query.push(("limit", limit.to_string()));
    if let Some(cursor) = cursor {
        query.push(("cursor", cursor.to_owned()));
    }
    Call::get(&["v1", "messages"]).query(query)
}

/// Follows the cursor until the limit is reached or nothing is left.
pub(super) async fn run(client: &Client, args: &ListArgs) -> anyhow::Result<()> {
    let filters = args.filters(jiff::Timestamp::now())?;
    let first = client.call(&page_call(&filters, None, args.limit.min(PAGE))).await?;
    let Page { mut data, mut next_cursor } = client.read(&first)?;
    let single = next_cursor.is_none() || data.len() as u64 >= args.limit;
    while let Some(cursor) = next_cursor.take_if(|_| (data.len() as u64) < args.limit) {
        let left = (args.limit - data.len() as u64).min(PAGE);
        let body = client.call(&page_call(&filters, Some(&cursor), left)).await?;
        let mut page: Page = client.read(&body)?;
        data.append(&mut page.data);
        next_cursor = page.next_cursor;
    }
    if args.json.json {
        return Ok(render::print_json(&if single { first } else { joined(&data, next_cursor) })?);
    }
    let rows: Vec<Row> = data.iter().map(|raw| client.read(raw.get())).collect::<Result<_, _>>()?;
    let more = next_cursor.is_some();
    render::print(&table(&rows, jiff::Timestamp::now(), Look::of_stdout()))?;
    if more {
        eprintln!("there are more: raise --limit or narrow the filters");
    }
    Ok(())
}

/// Several pages as one, each message as it came.
fn joined(data: &[Box<RawValue>], next_cursor: Option<String>) -> String {
    let data: Vec<_> = data.iter().map(|raw| raw.get()).collect();
    let cursor = serde_json::Value::from(next_cursor);
    format!("{{\"data\":[{}],\"next_cursor\":{cursor}}}", data.join(","))
}

fn table(rows: &[Row], now: jiff::Timestamp, look: Look) -> String {
    if rows.is_empty() {
        return "no messages\n".into();
    }
    let mut table =
        Table::new(&["MESSAGE", "STATUS", "AGE", "PROVIDER", "FROM", "TO", "SUBJECT", "NOTE"]);
    for row in rows {
        let note = match (row.in_doubt, row.possible_duplicate) {
            (true, true) => "in doubt, possible duplicate",
            (true, false) => "in doubt",
            (false, true) => "possible duplicate",
            (false, false) => "",
        };
        table.row([
            row.id.clone(),
            row.status.clone(),
            or_dash(row.accepted_at.as_deref().map(|at| render::age(at, now))),
            or_dash(row.provider.as_deref()),
            or_dash(row.from.as_deref()),
            or_dash(Some(row.recipients.join(", "))),
            or_dash(row.subject.as_deref()),
            note.into(),
        ]);
    }
    table.text(look)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ListArgs,
    }

    fn args(line: &str) -> ListArgs {
        let words = ["list"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn each_filter_goes_to_the_api_under_its_name() {
        let now = "2026-07-02T12:00:00Z".parse().unwrap();
        let line = "--status rejected --recipient b@example.org --provider ses --tag welcome --q hi \
                    --since 2h --until 2026-07-02T11:00:00Z";
        let expected = [
            ("status", "rejected"),
            ("recipient", "b@example.org"),
            ("provider", "ses"),
            ("tag", "welcome"),
            ("q", "hi"),
            ("since", "2026-07-02T10:00:00Z"),
            ("until", "2026-07-02T11:00:00Z"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        assert_eq!(args(line).filters(now).unwrap(), expected);
        assert_eq!(args("").filters(now).unwrap(), []);
    }

    #[test]
    fn a_time_that_is_none_is_a_usage_error() {
        let error = args("--since tomorrow").filters(jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(crate::exit::of(&error).code(), 2);
        assert!(error.to_string().starts_with("--since: "), "{error}");
    }

    #[test]
    fn doubt_is_visible_in_the_list() {
        let row = serde_json::from_str::<Row>(
            r#"{"id":"0199","status":"sending","in_doubt":true,"from":"a@b","recipients":["c@d"],"subject":"s"}"#,
        );
        let text = table(&[row.unwrap()], jiff::Timestamp::UNIX_EPOCH, Look::Plain);
        assert!(text.lines().nth(1).unwrap().ends_with("in doubt"), "{text}");
    }

    #[test]
    fn several_pages_are_joined_without_touching_a_message() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let data = [raw(r#"{"b":1, "a":2}"#), raw("{}")];
        let expected = r#"{"data":[{"b":1, "a":2},{}],"next_cursor":"c\"1"}"#;
        assert_eq!(joined(&data, Some("c\"1".into())), expected);
    }
}
