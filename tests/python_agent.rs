//! An agent in another language, written from docs/agent-protocol.md, is as good as our own.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::{
    agent_loss,
    harness::{Agent, Books, Endpoint, Process, QUICK, Server, Traffic, python_agent, story},
};

const TEMPORARY: i32 = 75;
const CONFIG: i32 = 78;

/// A server whose only provider is Mailgun, served in Python.
async fn alone() -> (Server, Endpoint, Agent) {
    let server = Server::start(QUICK);
    let mailgun = Endpoint::start("mailgun", server.dir());
    let agent = Agent::start_python(&server, "mailgun", &mailgun);
    server.wait_for_status("mailgun", &["active"], Duration::from_secs(10)).await;
    (server, mailgun, agent)
}

/// The records of the agent's journal; the first tells its name.
fn journal(server: &Server) -> Vec<Value> {
    let text = std::fs::read_to_string(server.dir().join("state-mailgun/journal")).unwrap();
    let record = |line: &str| serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
    // The last line may be half written.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(record).collect()
}

/// Waits until so many attempts have begun and not ended, by the agent's journal.
async fn until_begun(server: &Server, count: usize) {
    let begun = Instant::now();
    let mut ticker = interval(Duration::from_millis(20));
    loop {
        let journal = journal(server);
        let of = |state: &str| journal.iter().filter(|r| r["state"] == state).count();
        if of("started") >= of("ended") + count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "not {count} under way");
        ticker.tick().await;
    }
}

#[test]
fn a_killed_agent_in_python_loses_no_mail_and_gets_none_until_it_is_back() {
    story(agent_loss::killed("killed agent in Python", Agent::start_python));
}

#[test]
fn a_stopped_agent_in_python_gets_no_mail_after_a_second_of_silence() {
    story(agent_loss::stopped("stopped agent in Python", Agent::start_python));
}

#[test]
fn mail_on_hold_is_never_taken_twice_when_its_agent_in_python_is_killed() {
    story(async {
        let (server, mailgun, mut agent) = alone().await;
        let traffic = Traffic::start_on_hold(&server, 50);
        mailgun.until_took(50).await;
        // Mailgun takes some whose end the agent never learns: it dies with them begun.
        mailgun.process.stop();
        until_begun(&server, 5).await;
        agent.process.stop();
        let took = mailgun.took().len();
        mailgun.process.resume();
        mailgun.until_took(took + 1).await;
        agent.process.kill();
        let name = journal(&server)[0]["name"].clone();
        let took = mailgun.took().len();
        let _agent = Agent::start_python(&server, "mailgun", &mailgun);
        mailgun.until_took(took + 50).await;
        let ids = traffic.stop().await;
        let books = Books::close(&server, &ids, &[&mailgun], Duration::from_secs(60)).await;

        let journal = journal(&server);
        assert_eq!(journal[0]["name"], name, "it came back with its journal");
        let twice: Vec<_> = books.taken.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "taken again: {twice:?}");
        let held: Vec<_> = books.messages.values().filter(|m| m["status"] != "accepted").collect();
        assert!(!held.is_empty(), "what ran at the kill is in doubt");
        for message in &held {
            assert_eq!(message["status"], "in_doubt", "{message:#}");
            let last = message["attempts"].as_array().unwrap().last().unwrap();
            let id = last["id"].as_str().unwrap().replace('-', "");
            let kept = journal.iter().any(|r| r["attempt"] == id && r["state"] == "kept");
            assert!(kept, "the journal does not hold what is in doubt: {message:#}");
        }
        for (id, message) in &books.messages {
            let lost = message["status"] == "accepted" && !books.taken.contains_key(id);
            assert!(!lost, "accepted, and taken by nobody: {message:#}");
        }
        let is_taken = |m: &&&Value| books.taken.contains_key(m["id"].as_str().unwrap());
        let taken = held.iter().filter(is_taken).count();
        assert!(taken > 0, "what was taken without the agent learning of it is in doubt");
        println!(
            "on hold: {} acknowledged, {} held in doubt ({} of them taken), 0 doubled",
            ids.len(),
            held.len(),
            taken
        );
    });
}

#[test]
fn the_journal_in_python_keeps_what_the_protocol_asks_of_it() {
    run_claims("journal_test.py");
}

#[test]
fn an_agent_in_python_leaves_an_account_alone_for_as_long_as_it_asks() {
    run_claims("pause_test.py");
}

/// Runs the claims of a file of the agent's.
fn run_claims(file: &str) {
    let test = Path::new(env!("CARGO_MANIFEST_DIR")).join("python_agent").join(file);
    let output = Command::new("/usr/bin/python3").arg("-B").arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("Ran 0"), "{said}");
}

#[test]
fn an_agent_in_python_gives_its_journal_a_new_name_for_a_server_with_other_data() {
    story(async {
        let (mut server, mailgun, _agent) = alone().await;
        let name = journal(&server)[0]["name"].clone();
        server.process.kill();
        std::fs::remove_dir_all(server.dir().join("data")).unwrap();
        server.restart();
        server.wait_for_status("mailgun", &["active"], Duration::from_secs(20)).await;
        assert_ne!(journal(&server)[0]["name"], name);
        let traffic = Traffic::start(&server, 50);
        mailgun.until_took(20).await;
        let ids = traffic.stop().await;
        let books = Books::close(&server, &ids, &[&mailgun], Duration::from_secs(30)).await;
        books.check(&server).await;
        assert_eq!(books.duplicates(), (0, 0));
    });
}

#[test]
fn a_large_attachment_goes_through_the_agent_in_python_whole() {
    const SIZE: usize = 2 << 20;
    story(async {
        let (server, mailgun, _agent) = alone().await;
        let mail = json!({
            "from": "Shop <shop@example.com>",
            "to": ["customer@example.org"],
            "subject": "Your invoice",
            "text": "See the attachment.",
            // In base64, and so three bytes for four letters.
            "attachments": [{
                "filename": "invoice.pdf",
                "content_type": "application/pdf",
                "content": "QUJD".repeat(SIZE.div_ceil(3)),
            }],
        });
        for on_doubt in ["resend", "hold"] {
            let mut mail = mail.clone();
            mail["on_doubt"] = on_doubt.into();
            let id = server.post("/v1/messages", &mail).await["id"].as_str().unwrap().to_owned();
            let books = Books::close(&server, &[id], &[&mailgun], Duration::from_secs(30)).await;
            let message = books.messages.values().next().unwrap();
            assert_eq!(message["status"], "accepted", "{message:#}");
        }
        assert_eq!(mailgun.took().len(), 2);
        let largest = mailgun.largest().await;
        assert!((SIZE..SIZE + 4096).contains(&largest), "{largest} bytes arrived");
    });
}

#[test]
fn an_agent_in_python_that_is_told_to_leave_leaves_nothing_in_doubt() {
    story(async {
        let (server, mailgun, mut agent) = alone().await;
        let traffic = Traffic::start(&server, 50);
        mailgun.until_took(50).await;
        assert_eq!(agent.process.terminate(), Some(0), "it drained");
        server.wait_for_status("mailgun", &["offline"], Duration::from_secs(5)).await;
        let _agent = Agent::start_python(&server, "mailgun", &mailgun);
        mailgun.until_took(mailgun.took().len() + 50).await;
        let ids = traffic.stop().await;
        let books = Books::close(&server, &ids, &[&mailgun], Duration::from_secs(30)).await;
        books.check(&server).await;
        assert_eq!(books.duplicates(), (0, 0));
    });
}

#[test]
fn an_agent_in_python_makes_way_for_another_of_its_name() {
    story(async {
        let (server, mailgun, mut agent) = alone().await;
        let other = server.dir().join("state-other");
        let _other = Agent::start_python_in(&other, &server, "mailgun", &mailgun);
        assert_eq!(agent.process.wait(), Some(TEMPORARY));
        server.wait_for_status("mailgun", &["active", "recovering"], Duration::from_secs(5)).await;
    });
}

#[test]
fn an_agent_in_python_proves_who_it_is() {
    story(async {
        let server = Server::start("");
        let added = json!({"id": "mailgun-1", "provider": "mailgun"});
        let token = server.post("/v1/agents", &added).await["token"].as_str().unwrap().to_owned();
        let dial = |state: &Path, token: &str| {
            let mut command = python_agent();
            command
                .args(["--server", &format!("http://{}", server.agents()), "--domain", "a.example"])
                .args(["--id", "mailgun-1", "--provider", "mailgun", "--state"])
                .arg(state)
                .env("MAILGUN_API_KEY", "key-test")
                .env("SHIVNERI_AGENT_TOKEN", token);
            Process::spawn("mailgun-1", server.dir(), &mut command)
        };
        let mut wrong = dial(&server.dir().join("wrong"), "0123456789abcdef");
        assert_eq!(wrong.wait(), Some(CONFIG), "it is told that it is not welcome");
        let _right = dial(&server.dir().join("right"), &token);
        server.wait_for_status("mailgun", &["active"], Duration::from_secs(10)).await;
    });
}
