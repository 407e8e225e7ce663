//! What a log may never hold: credentials, keys, tokens, and what the mail says.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::harness::{Agent, Endpoint, Process, QUICK, Server, story};

/// In every secret and every part of a body; and as it stands in a Basic `Authorization`.
const CANARY: &str = "canary";
const MAILGUN_KEY: &str = "canary-mailgun-key";
const MAILGUN_BASIC: &str = "YXBpOmNhbmFyeS1tYWlsZ3VuLWtleQ";
const HTTP_KEY: &str = "canary-http-key-0123456789";
const TOKEN: &str = "canary-agent-token-0123456789";
/// `canary-attachment` in base64.
const ATTACHMENT: &str = "Y2FuYXJ5LWF0dGFjaG1lbnQ=";

fn config(sendgrid: &Endpoint) -> String {
    format!(
        r#"{QUICK}
[[key]]
name = "shop"
secret = "{HTTP_KEY}"
scopes = ["send", "read", "admin"]

[[agent]]
id = "mailgun"
provider = "mailgun"
token = "{TOKEN}"

[[provider]]
id = "sendgrid"
kind = "sendgrid"
api_key = "canary-sendgrid-key"
base_url = "{}"
"#,
        sendgrid.url()
    )
}

fn mail(number: usize) -> Value {
    json!({
        "from": "Shop <shop@example.com>",
        "to": [format!("customer-{number}@example.org")],
        "subject": "Your invoice",
        "text": "canary-text",
        "html": "<p>canary-html</p>",
        "headers": {"X-Order": "canary-header"},
        "metadata": {"order": "canary-metadata"},
        "on_doubt": if number.is_multiple_of(2) { "hold" } else { "resend" },
        "attachments": [
            {"filename": "a.txt", "content_type": "text/plain", "content": ATTACHMENT},
        ],
    })
}

fn start_agent(server: &Server, mailgun: &Endpoint) -> Agent {
    let credentials = [("api_key", MAILGUN_KEY), ("domain", "example.com")];
    let mut command = Agent::command(server, "mailgun", mailgun, &credentials);
    command.env("SHIVNERI_LOG", "trace").env("SHIVNERI_AGENT_TOKEN", TOKEN);
    Agent { process: Process::spawn("mailgun", server.dir(), &mut command) }
}

async fn send(server: &Server, ids: &mut Vec<String>, count: usize) {
    for number in 0..count {
        let answer = server.post("/v1/messages", &mail(number)).await;
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
}

/// Waits until so many attempts ended with this outcome.
async fn until_ended(server: &Server, ids: &[String], outcome: &str) {
    let begun = Instant::now();
    let mut ticker = interval(Duration::from_millis(50));
    loop {
        for id in ids {
            let message = server.message(id).await;
            let attempts = message["attempts"].as_array().unwrap();
            if attempts.iter().any(|attempt| attempt["outcome"] == outcome) {
                return;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no attempt ended {outcome}");
        ticker.tick().await;
    }
}

#[test]
fn no_secret_and_no_body_is_logged_at_any_level() {
    story(async {
        let dir = tempfile::tempdir().unwrap();
        let sendgrid = Endpoint::start("sendgrid", dir.path());
        let mailgun = Endpoint::start("mailgun", dir.path());
        let mut server = Server::start_telling_all(dir, &config(&sendgrid), HTTP_KEY);
        let mut agent = start_agent(&server, &mailgun);
        server.wait_for_status("mailgun", &["active"], Duration::from_secs(10)).await;
        let mut ids = Vec::new();

        send(&server, &mut ids, 40).await;
        sendgrid.until_took(1).await;
        mailgun.until_took(1).await;
        for (mode, outcome) in [("500", "in_doubt"), ("400", "rejected"), ("429", "throttled")] {
            mailgun.set_mode(mode).await;
            sendgrid.set_mode(mode).await;
            let before = ids.len();
            send(&server, &mut ids, 4).await;
            until_ended(&server, &ids[before..], outcome).await;
        }
        agent.process.kill();
        server.kill_and_restart();
        mailgun.set_mode("ok").await;
        sendgrid.set_mode("ok").await;
        let _agent = start_agent(&server, &mailgun);
        send(&server, &mut ids, 4).await;
        until_ended(&server, &ids[ids.len() - 4..], "accepted").await;
        mailgun.set_mode("401").await;
        sendgrid.set_mode("401").await;
        send(&server, &mut ids, 4).await;
        until_ended(&server, &ids[ids.len() - 4..], "account_fault").await;
        // What the API itself refuses.
        for wrong in [
            json!({"from": "x", "to": [], "text": "canary-refused"}),
            json!({"from": "a@example.com", "to": ["b@example.org"], "canary-field": 1}),
        ] {
            assert_eq!(server.post_any("/v1/messages", wrong.to_string()).await, 422);
        }
        let broken = format!("{{\"text\": \"{CANARY}");
        assert_eq!(server.post_any("/v1/messages", broken).await, 400);
        server.terminate();

        for name in ["server.log", "mailgun.log"] {
            let log = std::fs::read_to_string(server.dir().join(name)).unwrap();
            let traces = log.lines().filter(|line| line.contains("TRACE")).count();
            assert!(traces > 100, "{name} tells everything: {traces} traces");
            let told: Vec<_> = log
                .lines()
                .filter(|line| [CANARY, MAILGUN_BASIC, ATTACHMENT].iter().any(|c| line.contains(c)))
                .collect();
            assert!(told.is_empty(), "{} lines of {name}, as {}", told.len(), told[0]);
            println!("{name}: {} lines, none tells a secret or a body", log.lines().count());
        }
    });
}
