//! The demo's application: hands over mail by HTTP and asks what became of it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

/// A provider as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct ProviderState {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) counts: BTreeMap<String, u64>,
}

/// A message as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct MessageState {
    pub(super) status: String,
    #[serde(default)]
    pub(super) possible_duplicate: bool,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

/// The HTTP client of the demo.
#[derive(Debug)]
pub(super) struct Traffic {
    client: reqwest::Client,
    base: String,
}

impl Traffic {
    pub(super) fn new(http: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, base: format!("http://{http}") })
    }

    pub(super) async fn providers(&self) -> anyhow::Result<Vec<ProviderState>> {
        let answer = self.client.get(format!("{}/v1/providers", self.base)).send().await?;
        Ok(answer.error_for_status()?.json::<List<_>>().await?.data)
    }

    /// Waits until so many providers are active.
    pub(super) async fn wait_for_providers(&self, count: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            let active = self.providers().await?.iter().filter(|p| p.status == "active").count();
            if active >= count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the agents did not connect within 10 s")
    }

    /// Hands over so many mails a second; returns the ids of those that were acknowledged.
    pub(super) async fn send(&self, rate: u32, how_long: Duration) -> anyhow::Result<Vec<String>> {
        let mut ticker = tokio::time::interval(Duration::from_secs(1) / rate);
        let begun = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        let mut ids = Vec::new();
        let mut number = 0;
        while begun.elapsed() < how_long {
            ticker.tick().await;
            number += 1;
            running.spawn(hand_over(
                self.client.clone(),
                format!("{}/v1/messages", self.base),
                number,
            ));
            while let Some(ended) = running.try_join_next() {
                ids.push(ended??);
            }
        }
        while let Some(ended) = running.join_next().await {
            ids.push(ended??);
        }
        Ok(ids)
    }

    /// What became of each, once none is on its way any more or the time is over.
    pub(super) async fn settled(
        &self,
        ids: &[String],
        limit: Duration,
    ) -> anyhow::Result<Vec<MessageState>> {
        let begun = Instant::now();
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            let mut state = self.message(id).await?;
            while matches!(state.status.as_str(), "queued" | "sending") && begun.elapsed() < limit {
                tokio::time::sleep(Duration::from_millis(100)).await;
                state = self.message(id).await?;
            }
            states.push(state);
        }
        Ok(states)
    }

    async fn message(&self, id: &str) -> anyhow::Result<MessageState> {
        let answer = self.client.get(format!("{}/v1/messages/{id}", self.base)).send().await?;
        answer.error_for_status()?.json().await.context("a message's state could not be read")
    }
}

async fn hand_over(client: reqwest::Client, url: String, number: u32) -> anyhow::Result<String> {
    let mail = json!({
        "from": "Shop <shop@example.com>",
        "to": [format!("customer-{number}@example.org")],
        "subject": format!("Your order {number}"),
        "text": "Thank you.",
    });
    let answer = client.post(url).json(&mail).send().await?.error_for_status()?;
    Ok(answer.json::<Accepted>().await?.id)
}
