use std::{
    collections::{HashMap, HashSet},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, interval};

use super::{Acknowledged, Endpoint, Server, program};

/// Every message in the server's list, and what the endpoints took, once nothing is on its way.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Each message's row, by id.
    rows: HashMap<String, Value>,
    /// How often each was taken.
    taken: HashMap<String, usize>,
}

/// What a ledger shows in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Shown as perhaps doubled.
    pub(crate) possible: usize,
    /// Taken more than once.
    pub(crate) doubled: usize,
    /// Finally in doubt.
    pub(crate) in_doubt: usize,
    /// Those of them that were to be held.
    pub(crate) held: usize,
}

impl Ledger {
    /// Waits until every message has its end, and reads all of them.
    pub(crate) async fn close(server: &Server, endpoints: &[&Endpoint], within: Duration) -> Self {
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(200));
        for status in ["queued", "sending"] {
            loop {
                ticker.tick().await;
                let page = server.get(&format!("/v1/messages?limit=1&status={status}")).await;
                let Some(row) = page["data"].get(0) else { break };
                let waited = begun.elapsed();
                assert!(waited < within, "still on its way after {waited:?}: {row:#}");
            }
        }
        let mut rows = HashMap::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/v1/messages?limit=1000&cursor={cursor}")).await;
            for row in page["data"].as_array().unwrap() {
                rows.insert(row["id"].as_str().unwrap().to_owned(), row.clone());
            }
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        let mut taken = HashMap::new();
        for id in endpoints.iter().flat_map(|endpoint| endpoint.took()) {
            *taken.entry(id).or_insert(0) += 1;
        }
        Self { rows, taken }
    }

    fn taken(&self, id: &str) -> usize {
        self.taken.get(id).copied().unwrap_or_default()
    }

    /// Every acknowledged message is one that the server knows, and no other is; each was taken
    /// or is finally in doubt; none was taken twice without the server saying that it may have
    /// been, and none of those that were not to be doubled at all.
    pub(crate) async fn check(&self, server: &Server, acknowledged: &[Acknowledged]) -> Figures {
        let ids: HashSet<&str> = acknowledged.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids.len(), acknowledged.len(), "two keys named one message");
        let unknown: Vec<_> = ids.iter().filter(|id| !self.rows.contains_key(**id)).collect();
        assert!(unknown.is_empty(), "{} lost, as {}", unknown.len(), unknown[0]);
        let more: Vec<_> = self.rows.keys().filter(|id| !ids.contains(id.as_str())).collect();
        assert!(more.is_empty(), "{} that no key names, as {}", more.len(), more[0]);
        // One that was sent before it was safe would come again under another id.
        let nobodys: Vec<_> = self.taken.keys().filter(|id| !self.rows.contains_key(*id)).collect();
        assert!(nobodys.is_empty(), "{} taken and unknown, as {}", nobodys.len(), nobodys[0]);
        for one in acknowledged {
            if let Some(wrong) = self.wrong(one) {
                let message = server.message(&one.id).await;
                panic!("{wrong}: {:#}\n{message:#}", self.rows[&one.id]);
            }
        }
        let held = acknowledged.iter().filter(|one| one.hold);
        Figures {
            held: held.filter(|one| self.rows[&one.id]["status"] == "in_doubt").count(),
            ..self.figures()
        }
    }

    /// What does not hold for one of them.
    fn wrong(&self, Acknowledged { id, hold }: &Acknowledged) -> Option<&'static str> {
        let (row, taken) = (&self.rows[id], self.taken(id));
        let (status, shown) = (row["status"].as_str().unwrap(), row["possible_duplicate"] == true);
        match (status, taken) {
            ("accepted", 0) => Some("accepted and taken by nobody"),
            ("accepted" | "in_doubt", 2..) if *hold => Some("to be held in doubt and doubled"),
            ("accepted" | "in_doubt", 2..) if !shown => Some("doubled and not shown as possible"),
            ("in_doubt", _) if !hold && !shown => Some("to be sent again in doubt and was not"),
            ("accepted" | "in_doubt", _) if *hold && shown => Some("to be held and sent again"),
            ("accepted" | "in_doubt", _) => None,
            _ => Some("not taken by providers that take everything"),
        }
    }

    fn figures(&self) -> Figures {
        let count =
            |shown: &dyn Fn(&Value) -> bool| self.rows.values().filter(|r| shown(r)).count();
        Figures {
            possible: count(&|row| row["possible_duplicate"] == true),
            doubled: self.taken.values().filter(|times| **times > 1).count(),
            in_doubt: count(&|row| row["status"] == "in_doubt"),
            held: 0,
        }
    }
}

/// The server's own books add up, by the API and by the command.
pub(crate) async fn audit(server: &Server, accepted: usize) {
    let audit = server.get("/v1/audit").await;
    assert_eq!(audit["gap"], 0, "{audit}");
    assert_eq!(audit["accepted"], accepted, "{audit}");
    let said = Command::new(program("shivneri"))
        .arg("audit")
        .env("SHIVNERI_URL", server.url(""))
        .env_remove("SHIVNERI_API_KEY")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
}
