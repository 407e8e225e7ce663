//! Mail in by HTTP, durable, out to a provider that answers at once: as a ratio to a bare axum
//! handler that does nothing, in turn in one run, since only ratios of one run mean anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use shivneri_benches::Instantly;
use shivneri_providers::Built;
use shivneri_server::{
    Server,
    config::{Overrides, Source},
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

const CALLERS: usize = 64;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

/// Posts from all callers for one round; how many were answered in a second.
async fn load(url: &str, body: &str, wanted: StatusCode) -> f64 {
    let client = reqwest::Client::new();
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, url, body) = (client.clone(), url.to_owned(), body.to_owned());
        callers.spawn(async move {
            let mut answered = 0_u64;
            while begun.elapsed() < ROUND {
                let request =
                    client.post(&url).header("content-type", "application/json").body(body.clone());
                let answer = request.send().await.expect("it answers");
                assert_eq!(answer.status(), wanted);
                answered += 1;
            }
            answered
        });
    }
    let mut answered = 0;
    while let Some(ended) = callers.join_next().await {
        answered += ended.expect("no caller panics");
    }
    answered as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("bench.toml");
    std::fs::write(
        &config,
        "[[provider]]\nid = \"instantly\"\nkind = \"instantly\"\nhosted = true\nwindow = 256\n",
    )?;
    let flags = Overrides {
        data: Some(dir.path().join("data")),
        http: Some(":0".into()),
        agents: Some(":0".into()),
    };
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let server = Server::builder(Source { file: Some(config), env: Vec::new(), flags }.load()?)
        .kind("instantly", move |id, _| {
            Ok(Built::new(Arc::new(Instantly::new(id, Arc::clone(&counted)))))
        })
        .start()
        .await?;
    let shivneri = format!("http://{}/v1/messages", server.http_address());
    let running = tokio::spawn(server.run(shivneri_server::signals()?));

    let bare = TcpListener::bind("127.0.0.1:0").await?;
    let nothing = format!("http://{}/", bare.local_addr()?);
    let router = Router::new().route(
        "/",
        post(
            async |body: Bytes| {
                if body.is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED }
            },
        ),
    );
    let serving = tokio::spawn(async move { axum::serve(bare, router).await });

    let mail = serde_json::json!({
        "from": "shop@example.com", "to": ["customer@example.org"],
        "subject": "Your order", "text": "x".repeat(2048),
    })
    .to_string();
    println!("{CALLERS} callers, mail of 2 KiB, {ROUND:?} each, in turn");
    println!(
        "{:>14} {:>18} {:>18} {:>8}",
        "bare axum/s", "durable accept/s", "taken by provider/s", "ratio"
    );
    for _ in 0..ROUNDS {
        let bare = load(&nothing, &mail, StatusCode::ACCEPTED).await;
        let before = taken.load(Relaxed);
        let begun = Instant::now();
        let accepted = load(&shivneri, &mail, StatusCode::ACCEPTED).await;
        let sent = (taken.load(Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        println!("{bare:>14.0} {accepted:>18.0} {sent:>18.0} {:>8.3}", sent / bare);
        // What is still queued must not burden the next round of the other.
        let mut last = u64::MAX;
        while last != taken.load(Relaxed) {
            last = taken.load(Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    running.abort();
    serving.abort();
    Ok(())
}
