//! What the demo prints.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use super::{
    agent::TAKEN,
    traffic::{MessageState, ProviderState},
};

/// Prints who took how much in each second.
#[derive(Debug)]
pub(super) struct Progress {
    before: BTreeMap<String, u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { before: BTreeMap::new() }
    }

    pub(super) fn print(&mut self, at: Duration, providers: &[ProviderState]) {
        let mut line = format!("  {:>4.1} s", at.as_secs_f64());
        for provider in providers {
            let now = provider.counts.get("accepted").copied().unwrap_or(0);
            let before = self.before.insert(provider.id.clone(), now).unwrap_or(0);
            let bar = "▇".repeat((now.saturating_sub(before) / 5) as usize);
            let (id, status) = (&provider.id, &provider.status);
            line += &format!("  {id:<9}{status:<11}{:>4}/s {bar:<20}", now.saturating_sub(before));
        }
        println!("{}", line.trim_end());
    }
}

/// What each agent wrote down that it took.
#[derive(Debug)]
pub(super) struct Takings {
    by_agent: Vec<(String, usize)>,
    times: HashMap<String, usize>,
}

impl Takings {
    pub(super) fn read(dir: &Path, agents: &[&str]) -> anyhow::Result<Self> {
        let mut takings = Self { by_agent: Vec::new(), times: HashMap::new() };
        for agent in agents {
            let text = std::fs::read_to_string(dir.join(agent).join(TAKEN))?;
            takings.by_agent.push(((*agent).to_owned(), text.lines().count()));
            for id in text.lines() {
                *takings.times.entry(id.to_owned()).or_default() += 1;
            }
        }
        Ok(takings)
    }
}

/// Prints the result; whether every mail arrived exactly once.
pub(super) fn table(sent: &[String], states: &[MessageState], takings: &Takings) -> bool {
    let times = |id: &String| takings.times.get(id).copied().unwrap_or(0);
    let lost = sent.iter().filter(|id| times(id) == 0).count();
    let doubled = sent.iter().filter(|id| times(id) > 1).count();
    let accepted = states.iter().filter(|state| state.status == "accepted").count();
    let resent = states.iter().filter(|state| state.possible_duplicate).count();
    println!("\nacknowledged to the application   {:>6}", sent.len());
    for (agent, count) in &takings.by_agent {
        println!("taken by {agent:<24} {count:>6}");
    }
    println!("accepted, by the server's books   {accepted:>6}");
    println!("sent again after doubt            {resent:>6}");
    println!("lost                              {lost:>6}");
    println!("doubled                           {doubled:>6}");
    let good = lost == 0 && doubled == 0 && accepted == sent.len() && !sent.is_empty();
    println!(
        "\n{}",
        if good { "Nothing was lost or doubled." } else { "This is not as it should be." }
    );
    good
}
