//! The data directory's disk is full, nearly full, or the queue is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::harness::{
    Acknowledged, Agent, Build, Endpoint, Fails, Ledger, Server, ledger::audit, story,
};

/// A small file system in memory, taken away again when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Self {
        fs::create_dir(at).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "shivneri-small-disk"])
            .arg(at)
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "this story needs a small file system of its own, and mounting a tmpfs was refused: \
             run it as root (or in a container with CAP_SYS_ADMIN)"
        );
        Self(at.to_owned())
    }

    /// Leaves so many bytes free.
    fn fill(&self, leave: u64) {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        fs::write(self.0.join("filler"), vec![0; (free - leave) as usize]).unwrap();
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has it open is about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Hands over a mail of this many bytes: its id, or the refusal's `Retry-After`.
async fn hand_over(server: &Server, number: usize, bytes: usize) -> Result<Acknowledged, u64> {
    let mail = json!({
        "from": "shop@example.com",
        "to": ["asha@example.org"],
        "subject": format!("Order {number}"),
        "text": "x".repeat(bytes),
    });
    let request = reqwest::Client::new().post(server.url("/v1/messages")).json(&mail);
    let answer = request.send().await.unwrap();
    if answer.status() == 503 {
        let after = answer.headers()["retry-after"].to_str().unwrap();
        return Err(after.parse().unwrap());
    }
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    Ok(Acknowledged { id: answer["id"].as_str().unwrap().to_owned(), hold: false })
}

/// Hands over mail until it is refused: what was taken, and the refusal's `Retry-After`.
async fn until_refused(server: &Server, bytes: usize) -> (Vec<Acknowledged>, u64) {
    let mut taken = Vec::new();
    let begun = Instant::now();
    loop {
        match hand_over(server, taken.len(), bytes).await {
            Ok(one) => taken.push(one),
            Err(after) => return (taken, after),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{} were taken", taken.len());
    }
}

/// What `/readyz` says of taking mail, and why.
async fn readiness(server: &Server) -> (u16, Value) {
    let ready = reqwest::get(server.url("/readyz")).await.unwrap();
    (ready.status().as_u16(), ready.json().await.unwrap())
}

/// All of it goes out once an agent is there.
async fn delivered(server: &Server, endpoint: &Endpoint, taken: &[Acknowledged]) {
    let ledger = Ledger::close(server, &[endpoint], Duration::from_secs(60)).await;
    let figures = ledger.check(server, taken).await;
    assert_eq!((figures.possible, figures.doubled, figures.in_doubt), (0, 0, 0));
    audit(server, taken.len()).await;
}

#[test]
fn a_full_disk_stops_acknowledging_and_loses_nothing_that_was_acknowledged() {
    story(async {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(&dir.path().join("data"), 48);
        let endpoint = Endpoint::start("sendgrid", dir.path());
        let config = "[spool]\nmin_free_disk = 0\n[health]\nsession_ramp = \"1s\"\n";
        let mut server = Server::start_in(dir, config, Build::Ordinary, Fails::Never);
        let first = hand_over(&server, 0, 100).await.unwrap();
        disk.fill(2 << 20);
        let (mut taken, after) = until_refused(&server, 20_000).await;
        assert!(after > 0 && !taken.is_empty());
        taken.push(first);
        let (status, ready) = readiness(&server).await;
        assert_eq!((status, &ready["accept"]), (503, &"refused".into()), "{ready}");
        assert!(ready["reason"].as_str().unwrap().contains("full"), "{ready}");
        assert!(
            hand_over(&server, 0, 10).await.is_err(),
            "nothing is taken any more, however small"
        );

        // Room again, and a restart: what was acknowledged is there, and nothing else.
        disk.clear();
        server.kill_and_restart();
        let _agent = Agent::start(&server, "sendgrid", &endpoint);
        delivered(&server, &endpoint, &taken).await;
        println!("full disk: {} acknowledged, 0 lost, Retry-After {after} s", taken.len());
    });
}

#[test]
fn a_nearly_full_disk_takes_no_mail_and_goes_on_sending() {
    story(async {
        let dir = tempfile::tempdir().unwrap();
        let disk = SmallDisk::mount(&dir.path().join("data"), 64);
        let endpoint = Endpoint::start("sendgrid", dir.path());
        let config = "[spool]\nmin_free_disk = \"24MiB\"\n[health]\nsession_ramp = \"1s\"\n";
        let server = Server::start_in(dir, config, Build::Ordinary, Fails::Never);
        let first = hand_over(&server, 0, 100).await.unwrap();
        disk.fill(20 << 20);
        // It looks at the disk once a second.
        let (mut taken, after) = until_refused(&server, 100).await;
        taken.push(first);
        assert!(after > 0);
        let (status, ready) = readiness(&server).await;
        assert_eq!((status, &ready["accept"]), (503, &"refused".into()), "{ready}");

        let _agent = Agent::start(&server, "sendgrid", &endpoint);
        delivered(&server, &endpoint, &taken).await;

        disk.clear();
        taken.push(hand_over(&server, 0, 100).await.expect("there is room again"));
        delivered(&server, &endpoint, &taken).await;
        println!("nearly full disk: {} acknowledged, 0 lost, Retry-After {after} s", taken.len());
    });
}

#[test]
fn a_full_queue_takes_no_mail_until_some_has_gone_out() {
    story(async {
        let config = "[spool]\nmax_messages = 10\n[health]\nsession_ramp = \"1s\"\n";
        let server = Server::start(config);
        let endpoint = Endpoint::start("sendgrid", server.dir());
        let (mut taken, after) = until_refused(&server, 100).await;
        assert!(taken.len() == 10 && after > 0, "{} were taken", taken.len());
        let (status, ready) = readiness(&server).await;
        assert_eq!((status, &ready["accept"]), (503, &"refused".into()), "{ready}");

        let _agent = Agent::start(&server, "sendgrid", &endpoint);
        let begun = Instant::now();
        let mut ticker = interval(Duration::from_millis(20));
        taken.push(loop {
            match hand_over(&server, 11, 100).await {
                Ok(one) => break one,
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "still full"),
            }
            ticker.tick().await;
        });
        delivered(&server, &endpoint, &taken).await;
    });
}
