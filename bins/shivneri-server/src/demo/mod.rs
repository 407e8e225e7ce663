//! `shivneri-server demo`: a failover to watch. A server and two agents run as processes of their
//! own; one agent is killed under load and comes back.

mod agent;
mod process;
mod report;
mod traffic;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

pub use agent::serve as serve_agent;

use self::{
    process::{Child, ready_line},
    report::{Progress, Takings},
    traffic::Traffic,
};

/// Mails a second.
const RATE: u32 = 100;
const KILL_AT: Duration = Duration::from_secs(4);
const RETURN_AT: Duration = Duration::from_secs(8);
const STOP_AT: Duration = Duration::from_secs(16);
/// How long what is still waiting may take at the end.
const SETTLE: Duration = Duration::from_secs(10);

/// Short doubt, so that the demo shows within its time what else takes a minute.
const CONFIG: &str = r#"
[[lane]]
name = "transactional"
doubt_wait = "2s"
"#;

/// Runs the demo. `Ok(true)` where every mail arrived once.
///
/// # Errors
///
/// Where a process could not be started, or the server did not answer.
pub async fn run() -> anyhow::Result<bool> {
    let dir = tempdir()?;
    let outcome = story(dir.path()).await;
    if outcome.is_err() {
        eprintln!("what the processes logged is in {}", dir.keep().display());
    }
    outcome
}

async fn story(dir: &Path) -> anyhow::Result<bool> {
    let config = dir.join("demo.toml");
    std::fs::write(&config, CONFIG)?;
    let mut server = Child::spawn(
        "server",
        dir,
        &[
            "--config",
            &text(&config)?,
            "--data",
            &text(&dir.join("data"))?,
            "--http",
            ":0",
            "--agents",
            ":0",
        ],
    )?;
    let (http, agents) = ready_line(&mut server).await.context("the server did not start")?;
    println!("server     http://{http}  (console and API)");
    let start = |name: &str| agent_process(dir, &agents, name);
    let mut mailgun = start("mailgun")?;
    let sendgrid = start("sendgrid")?;
    println!(
        "agents     mailgun (pid {}) and sendgrid (pid {}), both sandboxes",
        mailgun.pid(),
        sendgrid.pid()
    );

    let traffic = Traffic::new(&http)?;
    traffic.wait_for_providers(2).await?;
    println!("mail       {RATE} a second over HTTP\n");
    let mut progress = Progress::new();
    let begun = Instant::now();
    let sending = traffic.send(RATE, STOP_AT);
    let acts = async {
        let mut killed = false;
        let mut returned = false;
        let mut ticker = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticker.tick().await;
            let at = begun.elapsed();
            if at >= KILL_AT && !killed {
                killed = true;
                mailgun.kill()?;
                println!("  {:>4.1} s  kill -9 mailgun's agent", at.as_secs_f64());
            }
            if at >= RETURN_AT && !returned {
                returned = true;
                mailgun = start("mailgun")?;
                println!(
                    "  {:>4.1} s  mailgun's agent is back (pid {})",
                    at.as_secs_f64(),
                    mailgun.pid()
                );
            }
            progress.print(at, &traffic.providers().await?);
        }
    };
    let sent: Vec<String> = tokio::select! {
        sent = sending => sent?,
        ended = acts => { let ended: anyhow::Result<std::convert::Infallible> = ended; match ended? {} }
    };
    let states = traffic.settled(&sent, SETTLE).await?;
    let takings = Takings::read(dir, &["mailgun", "sendgrid"])?;
    let good = report::table(&sent, &states, &takings);
    server.stop().await?;
    Ok(good)
}

fn agent_process(dir: &Path, agents: &str, name: &str) -> anyhow::Result<Child> {
    let state = text(&dir.join(name))?;
    let server = format!("http://{agents}");
    Child::spawn(name, dir, &["demo-agent", "--server", &server, "--id", name, "--state", &state])
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).context("the temporary directory's name is not UTF-8")
}

fn tempdir() -> anyhow::Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("shivneri-demo-").tempdir()?)
}
