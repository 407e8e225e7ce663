//! The flags of `shivneri send`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::exit::usage;

const EXAMPLES: &str = "\
Examples:
  shivneri send --from 'Asha <asha@example.com>' --to b@example.org --subject Hello \\
      --text 'It works.' --attach invoice.pdf --tag welcome --metadata order=42
  shivneri send --from a@example.com --to b@example.org --subject Log --text-file - < log.txt
  shivneri send --file mails.jsonl --lane bulk --concurrency 32
  shivneri send --file outbox/*.eml --wait
  generate | shivneri send --file -

Files:
  *.jsonl, *.ndjson  one message object of the API on each line
  *.eml              one message as RFC 5322 text; Date, Message-ID, Received and signatures are
                     left behind, --verbose names what was
  -                  JSON lines on stdin
  --lane, --tag, --metadata, --send-at, --expires-at, --on-doubt and --provider hold for every
  message of a file; what a message says itself goes before them.

Running it again:
  Each message of a file carries an Idempotency-Key made from its line number and its content, so
  the same command run again within 24 hours sends only what was not accepted before. A line that
  was changed or moved counts as new. --no-idempotency sends everything anew.

Exit codes:
  0 all accepted (with --wait: and taken by a provider) · 1 some not · 2 usage
  69 server unreachable · 75 server asks to come again later";

const ONE: &str = "One message";
const FILES: &str = "Messages of files";
const ANY: &str = "Every message";
const OUTCOME: &str = "Outcome";

/// What to send, and how.
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SendArgs {
    /// The author, as `Asha <asha@example.com>`.
    #[arg(help_heading = ONE, long, required_unless_present = "file", conflicts_with = "file", value_name = "ADDRESS")]
    pub(super) from: Option<String>,
    /// Recipients.
    #[arg(help_heading = ONE, long, num_args = 1.., conflicts_with = "file", value_name = "ADDRESS")]
    pub(super) to: Vec<String>,
    /// Recipients of a copy.
    #[arg(help_heading = ONE, long, num_args = 1.., conflicts_with = "file", value_name = "ADDRESS")]
    pub(super) cc: Vec<String>,
    /// Recipients that the others don't see.
    #[arg(help_heading = ONE, long, num_args = 1.., conflicts_with = "file", value_name = "ADDRESS")]
    pub(super) bcc: Vec<String>,
    /// Where answers go, if not to the author.
    #[arg(help_heading = ONE, long, num_args = 1.., conflicts_with = "file", value_name = "ADDRESS")]
    pub(super) reply_to: Vec<String>,
    /// The subject.
    #[arg(help_heading = ONE, long, conflicts_with = "file", value_name = "TEXT")]
    pub(super) subject: Option<String>,
    /// The plain-text body.
    #[arg(help_heading = ONE, long, conflicts_with_all = ["file", "text_file"], value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// A file with the plain-text body; - is stdin.
    #[arg(help_heading = ONE, long, conflicts_with = "file", value_name = "FILE")]
    pub(super) text_file: Option<PathBuf>,
    /// The HTML body.
    #[arg(help_heading = ONE, long, conflicts_with_all = ["file", "html_file"], value_name = "HTML")]
    pub(super) html: Option<String>,
    /// A file with the HTML body; - is stdin.
    #[arg(help_heading = ONE, long, conflicts_with = "file", value_name = "FILE")]
    pub(super) html_file: Option<PathBuf>,
    /// Files to attach; their names tell the content types.
    #[arg(help_heading = ONE, long, num_args = 1.., conflicts_with = "file", value_name = "FILE")]
    pub(super) attach: Vec<PathBuf>,
    /// A header of your own.
    #[arg(help_heading = ONE, long, conflicts_with = "file", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) header: Vec<(String, String)>,
    /// The key under which the server takes this message once, however often it is sent.
    #[arg(help_heading = ONE, long, conflicts_with = "file", value_name = "KEY")]
    pub(super) idempotency_key: Option<String>,

    /// Send the messages of these files; - is JSON lines on stdin.
    #[arg(help_heading = FILES, long, num_args = 1.., value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,
    /// How many messages of a file are offered at once.
    #[arg(help_heading = FILES, long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) concurrency: u16,
    /// Send every message of a file, also those that were accepted before.
    #[arg(help_heading = FILES, long, requires = "file")]
    pub(super) no_idempotency: bool,
    /// Tags to find the mail by.
    #[arg(help_heading = ANY, long, num_args = 1.., value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// A pair to keep with the mail.
    #[arg(help_heading = ANY, long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) metadata: Vec<(String, String)>,
    /// The lane: critical, transactional or bulk, or one of the server's own.
    #[arg(help_heading = ANY, long, value_name = "LANE")]
    pub(super) lane: Option<String>,
    /// Not to be sent before this time (RFC 3339).
    #[arg(help_heading = ANY, long, value_name = "TIME")]
    pub(super) send_at: Option<String>,
    /// Not to be sent after this time (RFC 3339).
    #[arg(help_heading = ANY, long, value_name = "TIME")]
    pub(super) expires_at: Option<String>,
    /// What to do when nobody can tell whether a provider took it.
    #[arg(help_heading = ANY, long, value_name = "WHAT")]
    pub(super) on_doubt: Option<OnDoubt>,
    /// Only through these providers.
    #[arg(help_heading = ANY, long, num_args = 1.., value_name = "ID")]
    pub(super) provider: Vec<String>,

    /// Wait until each message has reached a final state, and say which.
    #[arg(help_heading = OUTCOME, long)]
    pub(super) wait: bool,
    /// How long --wait waits, as 90s, 5m or 1h.
    #[arg(help_heading = OUTCOME, long, default_value = "5m", value_name = "TIME", value_parser = duration)]
    pub(super) wait_timeout: Option<Duration>,
    /// How long to go on while the server is busy or gone, without a single success.
    #[arg(help_heading = OUTCOME, long, default_value = "2m", value_name = "TIME", value_parser = duration)]
    pub(super) retry_for: Option<Duration>,
    /// Print the outcome as JSON: for one message the API's answer unchanged, for files the
    /// summary.
    #[arg(help_heading = OUTCOME, long)]
    pub(super) json: bool,
    /// Name every message with what became of it, and what of an .eml was left behind.
    #[arg(help_heading = OUTCOME, long, short)]
    pub(super) verbose: bool,
}

/// What to do when in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnDoubt {
    /// Send it again, marked as a possible duplicate.
    Resend,
    /// Never send it twice: keep it for a person to decide.
    Hold,
}

impl OnDoubt {
    /// The API's word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Hold => "hold",
        }
    }
}

impl SendArgs {
    /// What the grammar alone can't tell.
    ///
    /// # Errors
    ///
    /// Usage errors.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.file.is_empty() {
            return Ok(());
        }
        if [&self.to, &self.cc, &self.bcc].iter().all(|list| list.is_empty()) {
            return Err(usage("no recipient: give --to, --cc or --bcc"));
        }
        for (index, (name, _)) in self.header.iter().enumerate() {
            if self.header[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(usage(format!("--header {name} is given twice")));
            }
        }
        let bodies = [&self.text_file, &self.html_file];
        if bodies.iter().all(|path| path.as_deref().is_some_and(|path| path.as_os_str() == "-")) {
            return Err(usage("--text-file and --html-file can't both be read from stdin"));
        }
        Ok(())
    }

    /// How long `--wait` waits.
    pub(super) fn wait_timeout(&self) -> Duration {
        self.wait_timeout.unwrap_or(Duration::from_secs(300))
    }

    /// How long trouble is borne.
    pub(super) fn retry_for(&self) -> Duration {
        self.retry_for.unwrap_or(Duration::from_secs(120))
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time like 90s, 5m or 1h");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u32 = text[..split].parse().map_err(|_| wrong())?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(number.into())),
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_secs(u64::from(number) * 60)),
        "h" => Ok(Duration::from_secs(u64::from(number) * 3600)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SendArgs,
    }

    fn parse(line: &[&str]) -> Result<SendArgs, clap::Error> {
        Line::try_parse_from([&["send"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn lists_may_be_given_at_once_or_one_by_one() {
        let args = parse(&["--from", "a@b", "--to", "c@d", "e@f", "--to", "g@h"]).unwrap();
        assert_eq!(args.to, ["c@d", "e@f", "g@h"]);
        let args = parse(&["--file", "a.eml", "b.eml"]).unwrap();
        assert_eq!(args.file.len(), 2);
    }

    #[test]
    fn a_message_comes_from_flags_or_from_files_not_from_both() {
        assert!(parse(&[]).is_err(), "neither");
        for flag in [["--from", "a@b"], ["--to", "a@b"], ["--text", "x"], ["--header", "X-A=1"]] {
            assert!(parse(&[&["--file", "a.eml"], &flag[..]].concat()).is_err(), "{flag:?}");
        }
        for flag in [["--tag", "a"], ["--lane", "bulk"], ["--metadata", "a=b"]] {
            assert!(parse(&[&["--file", "a.eml"], &flag[..]].concat()).is_ok(), "{flag:?}");
        }
    }

    #[test]
    fn mail_to_nobody_is_a_usage_error() {
        let error = parse(&["--from", "a@b"]).unwrap().check().unwrap_err();
        assert_eq!(crate::exit::of(&error).code(), 2);
        assert!(parse(&["--from", "a@b", "--bcc", "c@d"]).unwrap().check().is_ok());
    }

    #[test]
    fn pairs_and_times_are_read_or_refused() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(pair("a").is_err() && pair("=b").is_err());
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert!(["", "5", "m", "5 m", "1.5h", "5d"].iter().all(|text| duration(text).is_err()));
    }
}
