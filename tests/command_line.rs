//! The command line against a server.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::harness::{Server, program};

const SANDBOX: &str = "[[provider]]\nid = 'sandbox-a'\nkind = 'sandbox'";

struct Cli<'a> {
    server: &'a Server,
}

impl Cli<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("shivneri"));
        command
            .args(arguments)
            .env("SHIVNERI_URL", self.server.url(""))
            .env_remove("SHIVNERI_API_KEY");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// It succeeds, and this is what it prints.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(arguments)).unwrap()
    }
}

#[test]
fn a_mail_is_sent_followed_and_found_again() {
    let server = Server::start(SANDBOX);
    let cli = Cli { server: &server };
    let mail =
        ["--from", "a@example.com", "--to", "b@example.org", "--subject", "Hello", "--text", "Hi"];
    cli.says(&[&["send", "--wait"], &mail[..]].concat());
    let list = cli.json(&["messages", "list", "--json"]);
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    let shown = cli.says(&["messages", "show", &id]);
    for word in [&id, "accepted", "sandbox-a", "Hello"] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    assert!(cli.says(&["messages", "list", "--recipient", "b@example.org"]).contains(&id));
    assert!(cli.says(&["providers", "mailbox", "sandbox-a"]).contains("b@example.org"));
    assert!(cli.says(&["status"]).contains("sandbox-a"));
    assert_eq!(cli.json(&["audit", "--json"])["gap"], 0);
}

#[test]
fn a_file_of_mails_is_sent_once_however_often_it_is_sent() {
    let server = Server::start(SANDBOX);
    let cli = Cli { server: &server };
    let file = server.dir().join("mails.jsonl");
    let line = |n: usize| {
        let to = format!("customer-{n}@example.org");
        json!({"from": "a@example.com", "to": [to], "subject": "Hello", "text": "Hi"}).to_string()
            + "\n"
    };
    std::fs::write(&file, (0..200).map(line).collect::<String>()).unwrap();
    let send = ["send", "--file", file.to_str().unwrap(), "--wait"];
    cli.says(&send);
    cli.says(&send);
    let audit = cli.json(&["audit", "--json"]);
    assert_eq!((&audit["accepted"], &audit["states"]["accepted"]), (&json!(200), &json!(200)));

    let mut piped = cli.command(&["send", "--file", "-"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bad = "{\"from\": \"nobody\", \"to\": [\"b@example.org\"], \"text\": \"Hi\"}\n";
    child.stdin.take().unwrap().write_all(bad.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("from"), "the field is named: {told}");
}

#[test]
fn a_mail_in_a_file_keeps_its_parts() {
    let server = Server::start(SANDBOX);
    let cli = Cli { server: &server };
    let file = server.dir().join("mail.eml");
    let mail = "From: Asha <a@example.com>\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
                MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
                --x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHi\r\n\
                --x\r\nContent-Type: application/pdf; name=a.pdf\r\n\
                Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                AAEC\r\n--x--\r\n";
    std::fs::write(&file, mail).unwrap();
    cli.says(&["send", "--file", file.to_str().unwrap(), "--wait"]);
    let mailbox = cli.json(&["providers", "mailbox", "sandbox-a", "--json"]);
    let taken = &mailbox["data"][0];
    assert_eq!(taken["subject"], "Grüße");
    assert_eq!(taken["attachments"][0]["filename"], "a.pdf");
}

#[test]
fn providers_are_steered_and_agents_let_in() {
    let server = Server::start(SANDBOX);
    let cli = Cli { server: &server };
    for (word, status) in
        [("drain", "draining"), ("resume", "active"), ("disable", "disabled"), ("enable", "active")]
    {
        cli.says(&["providers", word, "sandbox-a"]);
        let listed = cli.json(&["providers", "list", "--json"]);
        assert_eq!(listed["data"][0]["status"], status, "{word}");
    }
    assert!(cli.says(&["agents", "add", "mailgun-1", "--provider", "mailgun"]).contains("sht_"));
    assert!(cli.says(&["agents", "list"]).contains("mailgun-1"));
    cli.says(&["agents", "revoke", "mailgun-1"]);
    assert!(!cli.says(&["agents", "list"]).contains("mailgun-1"));
}

#[test]
fn mail_in_doubt_is_sent_again_by_word_only() {
    let server = Server::start(
        r#"
[[provider]]
id = "sandbox-a"
kind = "sandbox"
fault = "in_doubt"

[[lane]]
name = "transactional"
doubt_wait = "1s"
on_doubt = "hold"
"#,
    );
    let cli = Cli { server: &server };
    let line = ["--from", "a@example.com", "--to", "b@example.org", "--text", "x", "--wait"];
    cli.run(&[&["send"], &line[..]].concat());
    let listed = cli.json(&["messages", "list", "--json"]);
    let id = listed["data"][0]["id"].as_str().unwrap();
    assert_eq!(listed["data"][0]["status"], "in_doubt", "{listed}");

    let refused = cli.run(&["requeue", id]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("perhaps sent"), "{told}");
    let refused = cli.run(&["messages", "cancel", id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(cli.says(&["requeue", id, "--accept-duplicate"]).contains(id));
    let shown = cli.json(&["messages", "show", id, "--json"]);
    assert_eq!(shown["possible_duplicate"], true, "{shown}");
    assert!(cli.says(&["audit"]).contains("no gap"));
}

#[test]
fn what_is_wrong_is_told_with_its_exit_code() {
    let server = Server::start(SANDBOX);
    let cli = Cli { server: &server };
    for (arguments, code, said) in [
        (vec!["send", "--from", "nobody", "--to", "b@example.org", "--text", "x"], 1, "from"),
        (vec!["messages", "show", "nonsense"], 1, "nonsense"),
        (vec!["providers", "drain", "nobody"], 1, "nobody"),
        (vec!["send", "--form", "x"], 2, "--form"),
    ] {
        let output = cli.run(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    let output = cli.run(&["status", "--url", "http://127.0.0.1:1"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("127.0.0.1:1"), "{told}");
}
