//! From a request's first byte to a lease.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    NEVER, Scene, Way, rounds,
    scene::{Dies, mail, mail_for_later},
};

const WAYS: [Way; 2] = [Way::Agent, Way::InProcess];

#[test]
fn c1_a_request_that_is_half_read_leaves_no_trace() {
    rounds("C1", async || {
        for way in WAYS {
            let mut scene = Scene::set(way, NEVER, Dies::Server("request.part")).await;
            scene.arm();
            let body = mail().to_string();
            let (half, _) = body.split_at(body.len() / 2);
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                 idempotency-key: order\r\ncontent-length: {length}\r\n\r\n{half}",
                host = scene.server.http(),
                length = body.len()
            );
            let mut connection = TcpStream::connect(scene.server.http()).await.unwrap();
            connection.write_all(head.as_bytes()).await.unwrap();
            scene.died().await;
            let mut answer = Vec::new();
            // The peer is dead: whether that is an end or an error is the system's choice.
            let _ = connection.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
            scene.restart();
            assert_eq!((scene.accepted().await, scene.listed().await.len()), (0, 0));
            scene.check_books().await;
        }
    });
}

#[test]
fn c2_what_is_written_and_not_committed_is_nothing_and_never_half() {
    rounds("C2", async || {
        for way in WAYS {
            let mut scene = Scene::set(way, NEVER, Dies::Server("accept.written")).await;
            assert_eq!(scene.strike("order", mail()).await, None);
            assert_eq!((scene.accepted().await, scene.listed().await.len()), (0, 0));
            scene.check_books().await;
            let again = scene.acknowledged("order", mail()).await;
            assert!(!again.replayed, "nothing was left to be found");
            scene.sent_once(&again.id, 1).await;
        }
    });
}

#[test]
fn c3_what_is_committed_and_not_answered_is_found_by_its_key() {
    rounds("C3", async || {
        for way in WAYS {
            let mut scene = Scene::set(way, NEVER, Dies::Server("accept.committed")).await;
            // Or it might have been leased before the server died.
            scene.hold_mail().await;
            assert_eq!(scene.strike("order", mail()).await, None);
            let listed = scene.listed().await;
            let again = scene.acknowledged("order", mail()).await;
            assert!(again.replayed, "it was there");
            assert_eq!((listed.len(), listed[0]["id"].as_str()), (1, Some(&*again.id)));
            scene.let_go().await;
            scene.sent_once(&again.id, 1).await;
            assert_eq!(scene.accepted().await, 1);
        }
    });
}

/// Long enough to be answered before, however busy the machine.
const DUE: Duration = Duration::from_secs(5);

#[test]
fn c4_what_is_answered_and_not_leased_is_sent() {
    rounds("C4", async || {
        for way in WAYS {
            let mut scene = Scene::set(way, NEVER, Dies::Server("lease.taken")).await;
            let later = mail_for_later(DUE);
            let answer =
                scene.strike("order", later).await.expect("it is answered before it is due");
            scene.sent_once(&answer.id, 1).await;
        }
    });
}

#[test]
fn c5_what_is_leased_and_has_no_attempt_recorded_is_sent_and_not_counted() {
    rounds("C5", async || {
        for way in WAYS {
            let mut scene = Scene::set(way, NEVER, Dies::Server("begin.asked")).await;
            let later = mail_for_later(DUE);
            let answer =
                scene.strike("order", later).await.expect("it is answered before it is due");
            scene.sent_once(&answer.id, 1).await;
            let message = scene.server.message(&answer.id).await;
            assert_eq!(message["attempts"][0]["number"], 1, "{message:#}");
        }
    });
}
