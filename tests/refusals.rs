//! Every wrong input is answered by name, with the exit code that says what kind it is.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use super::harness::{Agent, Endpoint, Process, Server, program, story};

const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 69;
const TEMPORARY: i32 = 75;
const CONFIG: i32 = 78;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).env_remove("SHIVNERI_AGENT_TOKEN").output().unwrap()
}

/// It ends with this code, and says so.
#[track_caller]
fn refused(output: &Output, code: i32, said: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in said {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("shivneri.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_wrong_configuration_is_told_by_file_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    for (text, said) in [
        ("[http]\nlissten = \":0\"", vec!["shivneri.toml:2:", "lissten", "unknown field"]),
        (
            "[[provider]]\nid = \"a\"\nkind = \"sendgird\"\napi_key = \"x\"",
            vec!["shivneri.toml:3:", "sendgird", "sendgrid", "mailgun", "ses", "sandbox"],
        ),
        (
            "[[provider]]\nid = \"a\"\nkind = \"sendgrid\"\napi_kay = \"sesame\"",
            vec!["provider[0]", "api_kay"],
        ),
        ("[scheduler]\npolicy = \"fastest\"", vec!["shivneri.toml:2:", "fastest", "least-latency"]),
        ("[smtp]\nlisten = \":0\"", vec!["smtp", "not built yet"]),
    ] {
        let file = file(dir.path(), text);
        let data = dir.path().join("data").to_str().unwrap().to_owned();
        for command in [vec!["check", "--config", &file], vec!["--config", &file, "--data", &data]]
        {
            let output = run("shivneri-server", &command);
            refused(&output, CONFIG, &said);
            assert!(!String::from_utf8_lossy(&output.stderr).contains("sesame"));
        }
    }
}

#[test]
fn wrong_usage_is_told_by_flag() {
    refused(&run("shivneri-server", &["--htpp", ":0"]), USAGE, &["--htpp"]);
    refused(&run("shivneri-agent", &["--id", "a"]), USAGE, &["--server", "--kind"]);
    let bad_id = ["--server", "http://127.0.0.1:1", "--id", "a b", "--kind", "sandbox"];
    refused(&run("shivneri-agent", &bad_id), USAGE, &["--id", "a b"]);
    let bad_kind = ["--server", "http://127.0.0.1:1", "--id", "a", "--kind", "pigeon"];
    refused(&run("shivneri-agent", &bad_kind), CONFIG, &["pigeon", "sendgrid", "sandbox"]);
    let bad_set = [
        "--server",
        "http://127.0.0.1:1",
        "--id",
        "a",
        "--kind",
        "sandbox",
        "--set",
        "latency=soon",
    ];
    refused(&run("shivneri-agent", &bad_set), CONFIG, &["latency"]);
}

#[test]
fn a_taken_address_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().to_str().unwrap();
    let http = ["--data", data, "--http", &address, "--agents", ":0"];
    refused(&run("shivneri-server", &http), UNAVAILABLE, &["http", &address]);
    let agents = ["--data", data, "--http", ":0", "--agents", &address];
    refused(&run("shivneri-server", &agents), UNAVAILABLE, &["agents", &address]);
}

#[test]
fn a_data_directory_in_use_is_told_with_its_owners_pid() {
    let server = Server::start("");
    let data = server.dir().join("data").to_str().unwrap().to_owned();
    let output = run("shivneri-server", &["--data", &data, "--http", ":0", "--agents", ":0"]);
    refused(&output, TEMPORARY, &[&data, &server.process.pid().to_string()]);
    let output = run(
        "shivneri-server",
        &["keys", "create", "--name", "a", "--scopes", "send", "--data", &data],
    );
    refused(&output, TEMPORARY, &[&data, &server.process.pid().to_string()]);
}

#[test]
fn a_data_directory_that_can_not_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let data = file.join("data").to_str().unwrap().to_owned();
    let output = run("shivneri-server", &["--data", &data, "--http", ":0", "--agents", ":0"]);
    refused(&output, CONFIG, &[&data]);
}

#[test]
fn nothing_is_served_to_the_world_without_keys_and_identities() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let open = ["--data", data, "--http", "0.0.0.0:0", "--agents", ":0"];
    refused(&run("shivneri-server", &open), CONFIG, &["0.0.0.0:0", "keys create"]);
    let open = ["--data", data, "--http", ":0", "--agents", "0.0.0.0:0"];
    refused(&run("shivneri-server", &open), CONFIG, &["0.0.0.0:0", "agents add"]);
}

#[test]
fn a_wrong_token_a_wrong_kind_and_a_hosted_account_are_refused_at_hello() {
    let config = "
        [[provider]]
        id = 'mailgun'
        kind = 'mailgun'
        [[provider]]
        id = 'hosted'
        kind = 'sandbox'
        [[agent]]
        id = 'mailgun-1'
        provider = 'mailgun'
        token = '0123456789abcdef'
    ";
    let server = Server::start(config);
    let address = format!("http://{}", server.agents());
    let dial = |token: Option<&str>, id: &str, provider: &str, kind: &str| {
        let state = server.dir().join(format!("state-{id}-{}", token.is_some()));
        let mut command = Command::new(program("shivneri-agent"));
        command.args(["--server", &address, "--id", id, "--provider", provider, "--kind", kind]);
        command.arg("--state").arg(state).env_remove("SHIVNERI_AGENT_TOKEN");
        if kind == "sendgrid" {
            command.args(["--set", "api_key=x"]);
        }
        if let Some(token) = token {
            command.env("SHIVNERI_AGENT_TOKEN", token);
        }
        command.output().unwrap()
    };
    let right = Some("0123456789abcdef");
    refused(&dial(None, "mailgun-1", "mailgun", "sandbox"), CONFIG, &["mailgun-1", "no token"]);
    let wrong = dial(Some("fedcba9876543210"), "mailgun-1", "mailgun", "sandbox");
    refused(&wrong, CONFIG, &["mailgun-1", "token"]);
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("fedcba9876543210"));
    refused(&dial(right, "stranger", "mailgun", "sandbox"), CONFIG, &["stranger"]);
    refused(&dial(right, "mailgun-1", "other", "sandbox"), CONFIG, &["mailgun-1", "other"]);
    refused(&dial(right, "mailgun-1", "mailgun", "sendgrid"), CONFIG, &["mailgun", "sendgrid"]);
}

#[test]
fn an_agent_whose_identity_is_withdrawn_is_sent_away() {
    let server = Server::start("");
    story(async {
        let added =
            server.post("/v1/agents", &serde_json::json!({"id": "a", "provider": "a"})).await;
        let token = added["token"].as_str().unwrap().to_owned();
        let mut command = Command::new(program("shivneri-agent"));
        let address = format!("http://{}", server.agents());
        command.args(["--server", &address, "--id", "a", "--kind", "sandbox", "--state"]);
        command.arg(server.dir().join("state-a")).env("SHIVNERI_AGENT_TOKEN", token);
        let mut agent = Process::spawn("a", server.dir(), &mut command);
        server.wait_for_status("a", &["active"], Duration::from_secs(10)).await;
        // Another identity keeps the door from being open to all of this machine.
        server.post("/v1/agents", &serde_json::json!({"id": "b", "provider": "b"})).await;
        server.delete("/v1/agents/a").await;
        server.wait_for_status("a", &["offline"], Duration::from_secs(5)).await;
        assert_eq!(agent.wait(), Some(CONFIG), "it is told that it is not welcome");
    });
}

#[test]
fn one_process_for_each_agents_state() {
    let server = Server::start("");
    let endpoint = Endpoint::start("sendgrid", server.dir());
    let agent = Agent::start(&server, "sendgrid", &endpoint);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server.wait_for_status("sendgrid", &["active"], Duration::from_secs(10)));
    let state = server.dir().join("state-sendgrid").to_str().unwrap().to_owned();
    let address = format!("http://{}", server.agents());
    let again = ["--server", &address, "--id", "sendgrid", "--kind", "sandbox", "--state", &state];
    refused(&run("shivneri-agent", &again), TEMPORARY, &[&agent.process.pid().to_string()]);
}
