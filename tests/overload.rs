//! Ten times the mail that the providers take: what can't be kept is refused, and what was accepted
//! arrives.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

use super::harness::{
    Acknowledged, Build, Endpoint, Fails, Ledger, Server, ledger::Figures, ledger::audit,
    seed::times, story,
};

/// Clients that hand over one mail after another.
const CLIENTS: usize = 64;
/// The queue holds so many messages.
const ROOM: usize = 1_000;
/// More than this many bytes of memory are not bounded by anything that was configured.
const MEMORY: u64 = 384 << 20;

#[derive(Debug, Default)]
struct Notes {
    acknowledged: Mutex<Vec<Acknowledged>>,
    refused: AtomicU64,
}

#[test]
fn ten_times_the_mail_that_providers_take_is_refused_in_time_and_none_is_lost() {
    story(async {
        let load = Duration::from_secs(times("SHIVNERI_SECONDS", 10));
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start("sendgrid", dir.path());
        // One place and 20 ms for each mail: fifty a second at most.
        let config = format!(
            "[spool]\nmax_messages = {ROOM}\n\n[[provider]]\nid = \"sendgrid\"\n\
             kind = \"sendgrid\"\napi_key = \"SG.test\"\nwindow = 1\nbase_url = \"{}\"\n",
            endpoint.url()
        );
        let server = Server::start_in(dir, &config, Build::Ordinary, Fails::Never);
        let (notes, begun) = (Arc::new(Notes::default()), Instant::now());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (url, notes) = (server.url("/v1/messages"), Arc::clone(&notes));
            clients.spawn(async move { push(&url, client, begun + load, &notes).await });
        }
        let mut ticker = interval(Duration::from_millis(200));
        let mut memory = 0;
        while begun.elapsed() < load {
            ticker.tick().await;
            memory = memory.max(resident(server.process.pid()));
        }
        let (taken, took) = (endpoint.took().len() as u64, begun.elapsed());
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        let acknowledged = std::mem::take(&mut *notes.acknowledged.lock().unwrap());
        let refused = notes.refused.load(Relaxed);
        let offered = acknowledged.len() as u64 + refused;

        let ledger = Ledger::close(&server, &[&endpoint], Duration::from_secs(120)).await;
        let figures = ledger.check(&server, &acknowledged).await;
        assert_eq!(figures, Figures { possible: 0, doubled: 0, in_doubt: 0, held: 0 });
        audit(&server, acknowledged.len()).await;
        println!(
            "overload: {:.0} s, {offered} offered, {} acknowledged, {refused} refused with \
             Retry-After, {taken} taken meanwhile ({:.1} times overload), {} MiB at most, 0 lost",
            took.as_secs_f64(),
            acknowledged.len(),
            offered as f64 / taken as f64,
            memory >> 20,
        );
        assert!(offered >= 10 * taken, "no ten times overload: {offered} to {taken}");
        assert!(memory < MEMORY, "{} MiB of memory", memory >> 20);
    });
}

/// One client: hands over mail until the time is over, whatever the answers.
async fn push(url: &str, client: usize, until: Instant, notes: &Notes) {
    let http = reqwest::Client::new();
    let mail = json!({
        "from": "Shop <shop@example.com>",
        "to": [format!("customer-{client}@example.org")],
        "subject": "Your order",
        "text": "x".repeat(2048),
    });
    while Instant::now() < until {
        let answer = http.post(url).json(&mail).send().await.unwrap();
        match answer.status().as_u16() {
            202 => {
                let answer: Value = answer.json().await.unwrap();
                let id = answer["id"].as_str().unwrap().to_owned();
                notes.acknowledged.lock().unwrap().push(Acknowledged { id, hold: false });
            }
            429 | 503 => {
                let after = answer.headers()["retry-after"].to_str().unwrap();
                assert!(after.parse::<u64>().unwrap() > 0);
                notes.refused.fetch_add(1, Relaxed);
            }
            status => panic!("{status}: {}", answer.text().await.unwrap()),
        }
    }
}

/// The bytes of memory that a process has (proc(5), `VmRSS`).
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
