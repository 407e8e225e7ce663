//! How many messages the SQLite spool makes durable, by callers at once. Each is 2 KiB.
#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shivneri_core::{MessageId, draft::Draft, submit::Door};
use shivneri_spool::{Incoming, Spool, Sqlite, sqlite::Options};
use tokio::{runtime::Runtime, task::JoinSet, time::Instant};

/// Messages in a round, over all callers.
const ROUND: u64 = 2048;

fn incoming() -> Incoming {
    let draft = Draft {
        from: Some("shop@example.com".into()),
        to: vec!["customer@example.org".into()],
        subject: "Your order".into(),
        text: Some("x".repeat(2048)),
        ..Draft::default()
    };
    let at = SystemTime::now();
    let message = draft.check(MessageId::new(), at).expect("it is valid");
    Incoming { message, door: Door::Http, owner: "bench".into(), idempotency: None, at }
}

async fn round(spool: &Arc<dyn Spool>, callers: u64) {
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let spool = Arc::clone(spool);
        running.spawn(async move {
            for _ in 0..ROUND / callers {
                spool.accept(incoming()).await.expect("it is taken");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no caller panics");
    }
}

fn accept(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("accept/sqlite");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::Elements(ROUND));
    for callers in [1, 16, 64, 256] {
        let dir = tempfile::tempdir().expect("a directory");
        let spool: Arc<dyn Spool> =
            Sqlite::open(dir.path().join("spool.db"), Options::default()).expect("it opens");
        group.bench_with_input(
            BenchmarkId::from_parameter(callers),
            &callers,
            |bencher, callers| {
                bencher.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let begun = Instant::now();
                        for _ in 0..rounds {
                            round(&spool, *callers).await;
                        }
                        begun.elapsed()
                    })
                });
            },
        );
        runtime.block_on(spool.close());
    }
    group.finish();
}

criterion_group!(benches, accept);
criterion_main!(benches);
