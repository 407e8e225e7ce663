use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use super::Server;

/// Requests under way at once, so that a server that pauses costs no more connections.
const AT_ONCE: usize = 256;
/// A client comes again after this long.
const AGAIN: Duration = Duration::from_millis(50);
/// Each so-manieth message is not to be sent twice, unless all are not.
const HOLD: usize = 5;
/// Each so-manieth client asks again though it was answered.
const TWICE: usize = 16;

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    /// It was sent with `"on_doubt": "hold"`.
    pub(crate) hold: bool,
}

/// Clients that each hand over one message with an idempotency key of its own, and come again with
/// the same key until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Crowd {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    begun: Instant,
    notes: Arc<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Each so-manieth message is not to be sent twice.
    hold: usize,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// Requests that got no answer or were refused for now.
    repeated: AtomicUsize,
    /// Answers that named the message of an earlier request.
    replayed: AtomicUsize,
}

/// What a crowd has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) repeated: usize,
    pub(crate) replayed: usize,
    /// Messages a second, from the first to the last.
    pub(crate) rate: f64,
}

impl Crowd {
    /// So many clients a second.
    pub(crate) fn start(server: &Server, rate: u32) -> Self {
        Self::come(server, rate, HOLD)
    }

    /// The same, and all of their mail is not to be sent twice.
    pub(crate) fn on_hold(server: &Server, rate: u32) -> Self {
        Self::come(server, rate, 1)
    }

    fn come(server: &Server, rate: u32, hold: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let notes = Arc::new(Notes { hold, ..Notes::default() });
        let task = tokio::spawn(come(server.url("/v1/messages"), rate, stopped, notes.clone()));
        Self { task, stop, begun: Instant::now(), notes }
    }

    /// How many were acknowledged so far.
    pub(crate) fn count(&self) -> usize {
        self.notes.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more were.
    pub(crate) async fn until_more(&self, more: usize) {
        let (wanted, begun) = (self.count() + more, Instant::now());
        let mut ticker = interval(Duration::from_millis(10));
        while self.count() < wanted {
            assert!(begun.elapsed() < Duration::from_secs(30), "no mail is acknowledged");
            ticker.tick().await;
        }
    }

    /// Lets nobody else come, and waits until all are acknowledged.
    pub(crate) async fn stop(self) -> Done {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        let seconds = self.begun.elapsed().as_secs_f64();
        let notes = Arc::try_unwrap(self.notes).unwrap();
        let acknowledged = notes.acknowledged.into_inner().unwrap();
        Done {
            rate: acknowledged.len() as f64 / seconds,
            acknowledged,
            repeated: notes.repeated.into_inner(),
            replayed: notes.replayed.into_inner(),
        }
    }
}

async fn come(url: String, rate: u32, stopped: watch::Receiver<bool>, notes: Arc<Notes>) {
    let client = reqwest::Client::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticker = interval(Duration::from_secs(1) / rate);
    // What could not come while the server was away comes after.
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    for number in 0_usize.. {
        ticker.tick().await;
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        if *stopped.borrow() {
            break;
        }
        let (client, url, notes) = (client.clone(), url.clone(), Arc::clone(&notes));
        running.spawn(async move {
            let _place = place;
            hand_over(&client, &url, number, &notes).await;
        });
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// One client: it comes until it is answered, and some come once more.
async fn hand_over(client: &reqwest::Client, url: &str, number: usize, notes: &Notes) {
    let hold = number.is_multiple_of(notes.hold);
    let mail = json!({
        "from": "Shop <shop@example.com>",
        "to": [format!("customer-{number}@example.org")],
        "subject": format!("Order {number}"),
        "text": "Thank you.",
        "on_doubt": if hold { "hold" } else { "resend" },
    });
    let request =
        || client.post(url).header("idempotency-key", format!("order-{number}")).json(&mail).send();
    let mut again = interval(AGAIN);
    let id = loop {
        again.tick().await;
        match answered(request()).await {
            Some((id, replayed)) => {
                notes.replayed.fetch_add(usize::from(replayed), Relaxed);
                break id;
            }
            None => notes.repeated.fetch_add(1, Relaxed),
        };
    };
    notes.acknowledged.lock().unwrap().push(Acknowledged { id: id.clone(), hold });
    if number % TWICE == 1
        && let Some((second, replayed)) = answered(request()).await
    {
        assert_eq!(second, id, "one key named two messages");
        assert!(replayed, "the answer does not say that it came before");
    }
}

/// The message's id and whether it was there before; none where the server was away or asks to
/// come later.
async fn answered(
    request: impl Future<Output = Result<reqwest::Response, reqwest::Error>>,
) -> Option<(String, bool)> {
    let answer = request.await.ok()?;
    let status = answer.status();
    if status == 503 {
        return None;
    }
    let replayed = answer.headers().contains_key("idempotency-replayed");
    let text = answer.text().await.ok()?;
    assert_eq!(status, 202, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    Some((answer["id"].as_str().unwrap().to_owned(), replayed))
}
