//! `shivneri messages show`: one message and what became of it.

use serde::Deserialize;
use serde_json::Value;

use crate::render::{self, Look, Table, clean, clean_lines, or_dash};

/// A message as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    id: String,
    status: String,
    #[serde(default)]
    in_doubt: bool,
    #[serde(default)]
    possible_duplicate: bool,
    accepted_at: Option<String>,
    from: Option<Value>,
    #[serde(default)]
    to: Value,
    #[serde(default)]
    cc: Value,
    #[serde(default)]
    bcc: Value,
    #[serde(default)]
    reply_to: Value,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    #[serde(default)]
    headers: Value,
    attachments: Option<Vec<Attachment>>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: Value,
    lane: Option<String>,
    send_at: Option<String>,
    expires_at: Option<String>,
    on_doubt: Option<String>,
    providers: Option<Vec<String>>,
    waiting: Option<Waiting>,
    #[serde(default)]
    recipients: Vec<Recipient>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    filename: Option<String>,
    content_type: Option<String>,
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    reason: Option<String>,
    until: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Recipient {
    address: String,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Event {
    status: String,
    #[serde(default)]
    in_doubt: bool,
    at: String,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    number: u64,
    provider: String,
    agent: Option<String>,
    reason: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    outcome: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    possible_duplicate: bool,
    provider_message_id: Option<String>,
    answer: Option<ProviderAnswer>,
}

#[derive(Debug, Deserialize)]
struct ProviderAnswer {
    status: Option<Value>,
    text: Option<String>,
}

impl Message {
    /// Everything, in the order a person asks for it.
    pub(super) fn text(&self, look: Look) -> String {
        let sections = [
            self.head().text(look),
            titled("recipients", self.recipients().text(look)),
            titled("attempts", self.attempts()),
            titled("events", self.events().text(look)),
            titled("text", self.text.as_deref().map(clean_lines).unwrap_or_default()),
        ];
        sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn head(&self) -> Table {
        let mut status = self.status.clone();
        if self.in_doubt && self.status != "in_doubt" {
            status.push_str(", in doubt");
        }
        if self.possible_duplicate {
            status.push_str(", possible duplicate");
        }
        let waiting = self.waiting.as_ref().map(|waiting| {
            let until = waiting.until.as_deref().map(|until| format!(" (until {until})"));
            or_dash(waiting.reason.as_deref()) + &until.unwrap_or_default()
        });
        let files: Vec<_> = self.attachments.iter().flatten().map(Attachment::line).collect();
        let lines = [
            ("message", Some(self.id.clone())),
            ("status", Some(status)),
            ("waiting", waiting),
            ("accepted", self.accepted_at.clone()),
            ("from", self.from.as_ref().map(render::addresses)),
            ("to", Some(render::addresses(&self.to))),
            ("cc", Some(render::addresses(&self.cc))),
            ("bcc", Some(render::addresses(&self.bcc))),
            ("reply to", Some(render::addresses(&self.reply_to))),
            ("subject", self.subject.clone()),
            ("headers", Some(pairs(&self.headers))),
            ("lane", self.lane.clone()),
            ("tags", Some(self.tags.join(", "))),
            ("metadata", Some(pairs(&self.metadata))),
            ("send at", self.send_at.clone()),
            ("expires at", self.expires_at.clone()),
            ("on doubt", self.on_doubt.clone()),
            ("providers", self.providers.as_ref().map(|names| names.join(", "))),
            ("attachments", Some(files.join(", "))),
            (
                "html",
                self.html
                    .as_ref()
                    .map(|html| format!("{} bytes", render::grouped(html.len() as u64))),
            ),
        ];
        let mut table = Table::new(&[]);
        for (name, value) in lines {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                table.row([name.to_owned(), value]);
            }
        }
        table
    }

    fn recipients(&self) -> Table {
        let mut table = Table::new(&[]);
        for recipient in &self.recipients {
            table.row([recipient.address.clone(), recipient.status.clone()]);
        }
        table
    }

    fn attempts(&self) -> String {
        self.attempts.iter().map(Attempt::lines).collect()
    }

    fn events(&self) -> Table {
        let mut table = Table::new(&[]);
        for event in &self.events {
            let doubt =
                if event.in_doubt && event.status != "in_doubt" { ", in doubt" } else { "" };
            table.row([event.at.clone(), format!("{}{doubt}", event.status)]);
        }
        table
    }
}

impl Attachment {
    fn line(&self) -> String {
        let size = self.size.map(|size| format!(", {} bytes", render::grouped(size)));
        format!(
            "{} ({}{})",
            or_dash(self.filename.as_deref()),
            or_dash(self.content_type.as_deref()),
            size.unwrap_or_default()
        )
    }
}

impl Attempt {
    fn lines(&self) -> String {
        let through = match &self.agent {
            Some(agent) => format!("{} through agent {agent}", self.provider),
            None => self.provider.clone(),
        };
        let mut outcome = self.outcome.as_deref().unwrap_or("still open").to_owned();
        if self.possible_duplicate {
            outcome.push_str(" (possible duplicate)");
        }
        let mut lines =
            vec![format!("  {}  {}: {}", self.number, clean(&through), clean(&outcome))];
        let ended = self.ended_at.as_deref().map(|ended| format!(" to {ended}"));
        let answer = self.answer.as_ref().map(ProviderAnswer::line);
        for (name, value) in [
            ("time", self.started_at.as_ref().map(|at| at.clone() + &ended.unwrap_or_default())),
            ("chosen", self.reason.clone()),
            ("answer", answer),
            ("because", self.detail.clone()),
            ("its id", self.provider_message_id.clone()),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                lines.push(format!("     {name:7} {}", clean(&value)));
            }
        }
        lines.join("\n") + "\n"
    }
}

impl ProviderAnswer {
    fn line(&self) -> String {
        let status = self
            .status
            .as_ref()
            .filter(|status| !status.is_null())
            .map(|status| status.as_str().map_or_else(|| status.to_string(), str::to_owned));
        let parts = [status, self.text.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// An object's members in one line, as `order=42 customer=7`.
fn pairs(value: &Value) -> String {
    let Some(members) = value.as_object() else {
        return if value.is_null() { String::new() } else { clean(&value.to_string()) };
    };
    let shown = members.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        clean(&format!("{name}={value}"))
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn titled(title: &str, text: String) -> String {
    if text.is_empty() { text } else { format!("{title}\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED_OVER: &str = r#"{"id":"0199","status":"accepted","in_doubt":false,
        "possible_duplicate":true,"from":"Asha <asha@example.com>","to":["b@example.org"],
        "cc":[],"bcc":[],"reply_to":[],"subject":"Your invoice","text":"It is attached.\n",
        "html":null,"headers":{},"attachments":[{"filename":"a.pdf","content_type":"application/pdf","size":2048}],
        "tags":["invoice"],"metadata":{"order":"42"},"lane":"transactional","send_at":null,
        "expires_at":null,"on_doubt":null,"providers":null,
        "recipients":[{"address":"b@example.org","status":"accepted","delivery":"01"}],
        "attempts":[
          {"number":1,"provider":"sendgrid-eu","agent":null,"reason":"least loaded of 2",
           "started_at":"2026-07-01T10:00:00Z","ended_at":"2026-07-01T10:00:01Z",
           "outcome":"unavailable","detail":"the API is busy","provider_message_id":null,"answer":{"status":503,"text":"busy"}},
          {"number":2,"provider":"mailgun","agent":"mailgun-1","reason":"sendgrid-eu was tried",
           "started_at":"2026-07-01T10:00:01Z","ended_at":null,"outcome":null,
           "provider_message_id":null,"answer":null}],
        "events":[{"status":"queued","in_doubt":false,"at":"2026-07-01T10:00:00Z"},
                  {"status":"sending","in_doubt":true,"at":"2026-07-01T10:00:01Z"}]}"#;

    #[test]
    fn every_attempt_shows_who_was_chosen_why_and_what_was_answered() {
        let text = serde_json::from_str::<Message>(FAILED_OVER).unwrap().text(Look::Plain);
        let expected = "attempts\n  1  sendgrid-eu: unavailable\n     time    2026-07-01T10:00:00Z \
                        to 2026-07-01T10:00:01Z\n     chosen  least loaded of 2\n     answer  503 \
                        busy\n     because the API is busy\n  2  mailgun through agent mailgun-1: still open\n     time    \
                        2026-07-01T10:00:01Z\n     chosen  sendgrid-eu was tried\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn the_head_shows_what_is_there_and_nothing_that_is_not() {
        let text = serde_json::from_str::<Message>(FAILED_OVER).unwrap().text(Look::Plain);
        for line in [
            "status       accepted, possible duplicate",
            "metadata     order=42",
            "attachments  a.pdf (application/pdf, 2 048 bytes)",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} in {text}");
        }
        assert!(!text.contains("bcc") && !text.contains("expires"), "{text}");
    }

    #[test]
    fn events_stand_in_a_row_with_doubt_named() {
        let text = serde_json::from_str::<Message>(FAILED_OVER).unwrap().text(Look::Plain);
        let expected =
            "events\n2026-07-01T10:00:00Z  queued\n2026-07-01T10:00:01Z  sending, in doubt\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_message_whose_body_is_past_retention_is_still_shown() {
        let json = r#"{"id":"0199","status":"delivered","from":"a@b","to":null,"cc":null,"bcc":null,
            "reply_to":null,"subject":"s","text":null,"html":null,"headers":null,
            "attachments":null,"tags":[],"metadata":null,"waiting":null}"#;
        let text = serde_json::from_str::<Message>(json).unwrap().text(Look::Plain);
        assert_eq!(text, "message  0199\nstatus   delivered\nfrom     a@b\nsubject  s\n");
    }

    #[test]
    fn a_waiting_message_says_for_what_and_until_when() {
        let json = r#"{"id":"0199","status":"queued",
            "waiting":{"reason":"no provider is active","until":"2026-07-01T10:00:00Z"}}"#;
        let text = serde_json::from_str::<Message>(json).unwrap().text(Look::Plain);
        assert!(
            text.contains("waiting  no provider is active (until 2026-07-01T10:00:00Z)"),
            "{text}"
        );
    }
}
