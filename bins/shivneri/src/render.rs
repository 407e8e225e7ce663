//! Text for people: tables on a terminal, plain columns elsewhere.

use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, presets::UTF8_BORDERS_ONLY};

/// How output looks where it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Columns with two spaces between, no lines, no colours: for pipes and files.
    Plain,
    /// A drawn table.
    Drawn,
    /// A drawn table with colours.
    Coloured,
}

impl Look {
    /// What suits stdout.
    pub(crate) fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self::of(terminal, std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()))
    }

    fn of(terminal: bool, no_color: bool) -> Self {
        match (terminal, no_color) {
            (false, _) => Self::Plain,
            (true, true) => Self::Drawn,
            (true, false) => Self::Coloured,
        }
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one with this heading. Without a heading it is a list of names and values, and
    /// looks the same everywhere.
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Its texts are cleaned of what could steer a terminal.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// The table as text, ending in a line break; empty when it has no row.
    pub(crate) fn text(&self, look: Look) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        match look {
            Look::Plain => self.plain(),
            Look::Drawn | Look::Coloured if self.heading.is_empty() => self.plain(),
            Look::Drawn => self.drawn(false),
            Look::Coloured => self.drawn(true),
        }
    }

    fn plain(&self) -> String {
        let heading = self.heading.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let lines = [heading].into_iter().filter(|line| !line.is_empty());
        let lines: Vec<Vec<String>> = lines.chain(self.rows.iter().cloned()).collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Whether a column says nothing in any row.
    fn is_idle(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.all(|cell| matches!(cell.as_str(), "" | "-" | "0"))
    }

    /// A terminal is narrow: columns that say nothing are left out, and what names a row is never
    /// broken, so that it can be copied.
    fn drawn(&self, coloured: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let shown: Vec<usize> =
            (0..columns).filter(|&column| column < 3 || !self.is_idle(column)).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(shown.iter().filter_map(|&column| self.heading.get(column)));
        for row in &self.rows {
            let cells = shown.iter().filter_map(|&column| Some((column, row.get(column)?)));
            table.add_row(cells.map(|(column, text)| {
                // The first column names what the row is about, and may be any word.
                match colour(text).filter(|_| coloured && column > 0) {
                    Some(colour) => Cell::new(text).fg(colour),
                    None => Cell::new(text),
                }
            }));
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((u16::from(at == 0), 1));
            if at < 2 {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt() + "\n"
    }
}

/// The colour of a status, in the words of the API; other texts have none.
fn colour(text: &str) -> Option<Color> {
    match text {
        "active" | "accepted" | "delivered" | "ok" => Some(Color::Green),
        "recovering" | "probing" | "draining" | "suspect" | "throttled" | "held" | "sending"
        | "queued" | "scheduled" => Some(Color::Yellow),
        "open" | "offline" | "misconfigured" | "stalled" | "disabled" | "rejected" | "bounced"
        | "complained" | "expired" | "in_doubt" | "unavailable" | "account_fault" => {
            Some(Color::Red)
        }
        _ => None,
    }
}

/// `text` with everything replaced that moves a cursor, breaks a line or turns the writing
/// around: it comes from mail, and mail comes from anybody.
pub(crate) fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() || turns(c) => '\u{fffd}',
            c => c,
        })
        .filter(|&c| c != '\u{feff}')
        .collect()
}

/// As [`clean`], but line breaks and tabs stay: for bodies.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean_keeping_indent(line) + "\n").collect()
}

fn clean_keeping_indent(line: &str) -> String {
    let body = line.trim_start_matches([' ', '\t']);
    line[..line.len() - body.len()].to_owned() + &clean(body)
}

/// A dash where there is nothing.
pub(crate) fn or_dash(text: Option<impl ToString>) -> String {
    text.map(|text| text.to_string()).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into())
}

/// Addresses as the API gives them (a text, an object, or a list of either), in one line.
pub(crate) fn addresses(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(addresses).collect::<Vec<_>>().join(", "),
        Value::Object(parts) => {
            let part = |name: &str| parts.get(name).and_then(Value::as_str).unwrap_or_default();
            match part("name") {
                "" => part("email").to_owned(),
                name => format!("{name} <{}>", part("email")),
            }
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// How long ago an RFC 3339 time was, in its largest unit: `3m`. What is no time stays as it is.
pub(crate) fn age(text: &str, now: jiff::Timestamp) -> String {
    let Ok(time) = text.parse::<jiff::Timestamp>() else { return text.to_owned() };
    let seconds = now.duration_since(time).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number with its thousands apart: `12 345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Writes to stdout. A reader that has gone away is no error: it has seen enough.
///
/// # Errors
///
/// Any other trouble with stdout.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes the API's answer to stdout, unchanged but for a line break at its end.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json(body: &str) -> std::io::Result<()> {
    print(&format!("{}\n", body.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "STATUS"]);
        table.row(["sendgrid-eu".into(), "active".into()]);
        table.row(["ses".into(), "open".into()]);
        table
    }

    #[test]
    fn away_from_a_terminal_columns_are_plain_and_aligned() {
        let expected = "ID           STATUS\nsendgrid-eu  active\nses          open\n";
        assert_eq!(table().text(Look::Plain), expected);
    }

    #[test]
    fn colours_are_used_on_a_terminal_only_and_not_against_the_users_word() {
        assert_eq!(Look::of(false, false), Look::Plain);
        assert_eq!(Look::of(true, true), Look::Drawn);
        assert_eq!(Look::of(true, false), Look::Coloured);
        assert!(!table().text(Look::Drawn).contains('\u{1b}'));
    }

    #[test]
    fn on_a_terminal_columns_that_say_nothing_are_left_out() {
        let mut table = Table::new(&["ID", "KIND", "STATUS", "REJECTED", "REASON"]);
        table.row(["a", "-", "open", "0", "-"].map(str::to_owned));
        table.row(["b", "-", "open", "0", "key"].map(str::to_owned));
        let drawn = table.text(Look::Drawn);
        assert!(drawn.contains("KIND") && drawn.contains("REASON") && drawn.contains("key"));
        assert!(!drawn.contains("REJECTED"), "{drawn}");
        assert!(table.text(Look::Plain).contains("REJECTED"), "scripts find every column");
    }

    #[test]
    fn a_table_without_rows_is_no_text() {
        assert_eq!(Table::new(&["ID"]).text(Look::Plain), "");
    }

    #[test]
    fn a_subject_can_not_steer_the_terminal_or_turn_the_line_around() {
        for text in ["a\u{1b}[31mb", "a\rb", "a\u{202e}b", "a\u{9b}2Jb", "a\u{7}b"] {
            assert_eq!(clean(text).chars().nth(1), Some('\u{fffd}'), "{text:?}");
        }
        assert_eq!(clean("a\nb\tc"), "a b c");
        assert_eq!(clean_lines("  a\r\n\tb\u{1b}c\n"), "  a\n\tb\u{fffd}c\n");
    }

    #[test]
    fn addresses_are_read_in_each_form_the_api_gives_them() {
        let value = serde_json::json!(["a@b", { "email": "c@d", "name": "C" }, { "email": "e@f" }]);
        assert_eq!(addresses(&value), "a@b, C <c@d>, e@f");
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now = "2026-07-03T12:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-07-03T12:00:05Z", "0s"),
            ("2026-07-03T11:59:01Z", "59s"),
            ("2026-07-03T11:00:01.500Z", "59m"),
            ("2026-07-01T12:00:01Z", "47h"),
            ("2026-07-01T12:00:00Z", "2d"),
            ("whenever", "whenever"),
        ] {
            assert_eq!(age(time, now), expected, "{time}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1234567, "1 234 567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
