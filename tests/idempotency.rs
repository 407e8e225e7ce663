//! One idempotency key is one message, however many ask at once.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::harness::{Server, ledger::audit, seed::times, story};

/// Clients that come at once with the same key.
const CLIENTS: usize = 64;

#[test]
fn sixty_four_clients_with_one_key_make_one_message() {
    story(async {
        let rounds = times("SHIVNERI_ROUNDS", 50) as usize;
        // Nobody is there to send: what is looked at is what was taken.
        let server = Server::start("[spool]\nmin_free_disk = 0\n");
        let client = reqwest::Client::new();
        let mut messages = HashSet::new();
        for round in 1..=rounds {
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let mail = json!({
                    "from": "shop@example.com",
                    "to": ["asha@example.org"],
                    "subject": format!("Order {round}"),
                    "text": "Thank you.",
                });
                let request = client.post(server.url("/v1/messages"));
                let request = request.header("idempotency-key", format!("order-{round}"));
                clients.spawn(async move { told(request.json(&mail)).await });
            }
            let answers = clients.join_all().await;
            let ids: HashSet<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(ids.len(), 1, "round {round} named more than one message: {ids:?}");
            let new = answers.iter().filter(|(_, replayed)| !replayed).count();
            assert_eq!(new, 1, "round {round}: {new} were told that theirs was the first");
            messages.extend(answers.into_iter().map(|(id, _)| id));
            if round.is_multiple_of(1000) {
                println!("idempotency: round {round} of {rounds}");
            }
        }
        assert_eq!(messages.len(), rounds, "two keys named one message");
        audit(&server, rounds).await;
        println!("idempotency: {rounds} rounds × {CLIENTS} clients, one message each");
    });
}

/// The message's id, and whether it was there before.
async fn told(request: reqwest::RequestBuilder) -> (String, bool) {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let replayed = answer.headers().contains_key("idempotency-replayed");
    let answer: Value = answer.json().await.unwrap();
    (answer["id"].as_str().unwrap().to_owned(), replayed)
}
