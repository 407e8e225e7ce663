//! `shivneri audit`: is every accepted message accounted for?

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    cli::Json,
    client::{Call, Client},
    exit::Exit,
    render::{self, Look, Table},
};

/// The count of all mail.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Audit {
    accepted: u64,
    states: BTreeMap<String, u64>,
    #[serde(default)]
    purged: u64,
    gap: i64,
}

impl Audit {
    /// One row for each state, and the sum.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["MESSAGES", "COUNT"]);
        for (state, &count) in &self.states {
            table.row([state.clone(), render::grouped(count)]);
        }
        table.row(["purged".into(), render::grouped(self.purged)]);
        table.row(["accepted in all".into(), render::grouped(self.accepted)]);
        table
    }

    /// The finding in one line.
    pub(crate) fn finding(&self) -> String {
        match self.gap {
            0 => "no gap: every accepted message is accounted for".into(),
            gap if gap > 0 => format!("GAP: {gap} accepted messages are in no state"),
            gap => format!("GAP: {} messages are in a state without being accepted", -gap),
        }
    }

    fn exit(&self) -> Exit {
        if self.gap == 0 { Exit::Done } else { Exit::Failure }
    }
}

/// The call that asks for it.
pub(crate) fn call() -> Call {
    Call::get(&["v1", "audit"])
}

/// Prints the count; a gap is a failure.
pub(crate) async fn run(client: &Client, args: &Json) -> anyhow::Result<Exit> {
    let body = client.call(&call()).await?;
    let audit: Audit = client.read(&body)?;
    if args.json {
        render::print_json(&body)?;
    } else {
        render::print(&format!("{}{}\n", audit.table().text(Look::of_stdout()), audit.finding()))?;
    }
    Ok(audit.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(gap: i64) -> Audit {
        let json = format!(
            r#"{{"accepted":1204,"states":{{"queued":4,"accepted":1190}},"purged":10,"gap":{gap}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn a_gap_in_either_direction_is_a_failure_and_is_said() {
        for (gap, exit, word) in
            [(0, Exit::Done, "no gap"), (3, Exit::Failure, "GAP: 3"), (-2, Exit::Failure, "GAP: 2")]
        {
            assert_eq!(audit(gap).exit(), exit);
            assert!(audit(gap).finding().contains(word), "{}", audit(gap).finding());
        }
    }

    #[test]
    fn every_state_has_a_row() {
        let text = audit(0).table().text(Look::Plain);
        let expected = "MESSAGES         COUNT\naccepted         1 190\nqueued           4\npurged           10\n\
             accepted in all  1 204\n";
        assert_eq!(text, expected);
    }
}
