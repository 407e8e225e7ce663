//! What became of a run over files.

use std::time::Duration;

use serde_json::json;

use super::follow::Finals;
use crate::{
    client::{Error, Problem},
    exit::{self, Exit},
    render::{Look, Table, clean, grouped},
};

/// Refusals that are shown with their reasons.
const SHOWN: usize = 20;

/// The count of a run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    /// Those of them that an earlier run had brought.
    pub(super) replayed: u64,
    pub(super) refused: u64,
    /// The first refusals: place and reason.
    pub(super) first_refused: Vec<(String, Problem)>,
    /// Why the run was ended early, if it was.
    pub(super) stopped: Option<Error>,
    /// Offers that got no word.
    pub(super) unanswered: u64,
    /// With `--wait`: what became of the accepted.
    pub(super) finals: Option<Finals>,
}

impl Tally {
    /// Counts a refusal and keeps the first ones.
    pub(super) fn refuse(&mut self, place: String, problem: Problem) {
        self.refused += 1;
        if self.first_refused.len() < SHOWN {
            self.first_refused.push((place, problem));
        }
    }

    /// Counts an offer without a word; the first one's error is the run's.
    pub(super) fn stop(&mut self, error: Error) {
        self.unanswered += 1;
        self.stopped.get_or_insert(error);
    }

    /// How the program ends.
    pub(super) fn exit(self) -> Exit {
        if let Some(error) = self.stopped {
            return exit::of(&error.into());
        }
        let taken = self.finals.is_none_or(|finals| finals.all_taken());
        if self.refused == 0 && taken { Exit::Done } else { Exit::Failure }
    }

    /// The summary for people.
    pub(super) fn text(&self, took: Duration, look: Look) -> String {
        let mut table = Table::new(&[]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("accepted", grouped(self.accepted));
        if self.replayed > 0 {
            row("  before this run", grouped(self.replayed));
        }
        row("refused", grouped(self.refused));
        if self.unanswered > 0 {
            row("no answer", grouped(self.unanswered));
        }
        for (state, &count) in self.finals.iter().flat_map(|finals| &finals.states) {
            row(&format!("  now {state}"), grouped(count));
        }
        if let Some(finals) = self.finals.as_ref().filter(|finals| !finals.unfinished.is_empty()) {
            row("  not final yet", grouped(finals.unfinished.len() as u64));
        }
        row("time", format!("{:.1} s", took.as_secs_f64()));
        row("rate", format!("{:.0}/s", self.rate(took)));
        let mut lines = vec![table.text(look).trim_end().to_owned()];
        lines.extend(self.refusals());
        lines.extend(self.finals.iter().flat_map(failures));
        lines.join("\n") + "\n"
    }

    fn rate(&self, took: Duration) -> f64 {
        (self.accepted + self.refused) as f64 / took.as_secs_f64().max(0.001)
    }

    fn refusals(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (place, problem) in &self.first_refused {
            lines.push(format!("{}: {}", clean(place), problem.headline()));
            lines.extend(problem.field_lines().map(|line| format!("  {line}")));
            if problem.code() == Some("idempotency_key_reused") {
                lines.push("  it was accepted before, with other flags".into());
            }
        }
        let more = self.refused - self.first_refused.len() as u64;
        if more > 0 {
            lines.push(format!("and {} more refused", grouped(more)));
        }
        lines
    }

    /// The summary for programs.
    pub(super) fn json(&self, took: Duration) -> String {
        let refusals = self.first_refused.iter().map(|(place, problem)| {
            let fields: Vec<_> = problem.field_lines().collect();
            json!({ "place": place, "reason": problem.headline(), "errors": fields })
        });
        json!({
            "accepted": self.accepted,
            "accepted_before": self.replayed,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "seconds": took.as_secs_f64(),
            "first_refused": refusals.collect::<Vec<_>>(),
            "stopped": self.stopped.as_ref().map(ToString::to_string),
            "states": self.finals.as_ref().map(|finals| &finals.states),
            "not_final": self.finals.as_ref().map(|finals| finals.unfinished.len()),
        })
        .to_string()
    }
}

fn failures(finals: &Finals) -> Vec<String> {
    let shown = finals.failed.iter().take(SHOWN);
    let mut lines: Vec<_> = shown
        .map(|(place, id, state)| {
            format!("{}: {} (shivneri messages show {id})", clean(place), clean(state))
        })
        .collect();
    let more = finals.failed.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more that no provider took"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Problem {
        let body = br#"{"title":"Some fields are not valid","detail":"to[0] is not valid",
            "errors":[{"field":"to[0]","reason":"the address has no @"}]}"#;
        Problem::read(422, None, body)
    }

    #[test]
    fn the_summary_names_the_refused_lines_with_each_field() {
        let mut tally = Tally { accepted: 1998, ..Tally::default() };
        tally.refuse("m.jsonl:7".into(), refusal());
        tally.refuse("m.jsonl:9".into(), refusal());
        let expected = "accepted  1 998\nrefused   2\ntime      2.0 s\nrate      1000/s\n\
            m.jsonl:7: Some fields are not valid: to[0] is not valid\n  to[0]: the address has no @\n\
            m.jsonl:9: Some fields are not valid: to[0] is not valid\n  to[0]: the address has no @\n";
        assert_eq!(tally.text(Duration::from_secs(2), Look::Plain), expected);
        assert_eq!(tally.exit(), Exit::Failure);
    }

    #[test]
    fn only_the_first_twenty_refusals_are_shown_and_all_are_counted() {
        let mut tally = Tally::default();
        (1..=25).for_each(|line| tally.refuse(format!("m:{line}"), refusal()));
        let text = tally.text(Duration::from_secs(1), Look::Plain);
        assert!(text.contains("m:20:") && !text.contains("m:21:"), "{text}");
        assert!(text.contains("refused   25") && text.ends_with("and 5 more refused\n"), "{text}");
    }

    #[test]
    fn a_run_that_was_stopped_ends_as_what_stopped_it() {
        let mut tally = Tally { accepted: 5, ..Tally::default() };
        assert_eq!(Tally { accepted: 5, ..Tally::default() }.exit(), Exit::Done);
        tally.stop(Error::Unreachable { url: "http://h".into(), reason: "refused".into() });
        tally.stop(Error::Refused(Problem::read(503, None, b"")));
        assert_eq!(tally.unanswered, 2);
        assert_eq!(tally.exit(), Exit::Unavailable);
    }

    #[test]
    fn mail_that_no_provider_took_in_time_is_a_failure_once_it_was_waited_for() {
        let unfinished = vec![("m:1".to_owned(), "01".to_owned())];
        let finals = Finals { unfinished, ..Finals::default() };
        let tally = Tally { accepted: 1, finals: Some(finals), ..Tally::default() };
        assert!(tally.text(Duration::ZERO, Look::Plain).contains("not final yet  1"));
        assert_eq!(tally.exit(), Exit::Failure);
    }
}
