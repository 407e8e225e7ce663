//! Agents that reach their server by another way than TCP and keep no file.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use shivneri_core::{EmailProvider, OnDoubt, Outcome, Transition};
use shivneri_testkit::{ScriptedProvider, Step, mail::mail};
use shivneri_transport::{
    Hub,
    agent::{self, Connect, Connection, JournalStore, Sync},
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    house::{House, soon},
    running::{agent_options, options},
};

/// Pipes in memory.
#[derive(Debug)]
struct Pipes(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Connect for Pipes {
    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let (near, far) = duplex(64 << 10);
        self.0.send(far).await.map_err(io::Error::other)?;
        Ok(Box::new(near))
    }
}

#[derive(Clone, Debug, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl JournalStore for Bytes {
    fn boot(&self) -> Option<String> {
        Some("the-only-one".into())
    }

    async fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn cut(&self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().truncate(length as usize);
        Ok(())
    }

    async fn append(&self, records: &[u8], _: Sync) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(records);
        Ok(())
    }

    async fn replace(&self, contents: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = contents.to_vec();
        Ok(())
    }

    async fn set_aside(&self, contents: &[u8]) -> io::Result<()> {
        panic!("{} bytes are damaged", contents.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reaches_its_server_by_any_way_and_keeps_its_journal_anywhere() {
    let house = House::new();
    let hub = Hub::new(options(), house.clone(), house.clone(), house.clone());
    let (pipes, incoming) = mpsc::channel(4);
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let incoming = ReceiverStream::new(incoming).map(move |pipe| Ok((pipe, Some(peer))));
    let serving = tokio::spawn({
        let hub = hub.clone();
        async move { hub.serve_connections(incoming, std::future::pending()).await }
    });
    let (store, nowhere) = (Bytes::default(), std::path::Path::new("/nowhere"));
    let start = |provider: &Arc<ScriptedProvider>| {
        let mut options = agent_options("http://in.memory", nowhere);
        options.connect = Some(Arc::new(Pipes(pipes.clone())));
        options.journal = Some(Arc::new(store.clone()));
        tokio::spawn(agent::serve(provider.clone(), options, std::future::pending()))
    };
    let provider = Arc::new(ScriptedProvider::new("acme").then(Step::Hang));
    let agent = start(&provider);
    let seat = house.session("a", 0).await;
    let email = mail(1);
    let attempt = seat.attempt(&email, OnDoubt::Resend);
    let log = hub.acknowledging(house.clone());
    log.begin(&attempt).await.unwrap();
    let sent = tokio::spawn({
        let attempt = attempt.clone();
        async move { seat.provider.send(&email, &attempt).await }
    });
    soon(provider.called(1)).await;
    agent.abort();
    assert!(soon(agent).await.unwrap_err().is_cancelled());
    let outcome = Outcome::from(soon(sent).await.unwrap());
    assert_eq!(outcome.word(), "in_doubt");
    log.end(&attempt, &outcome, &Transition::Continue).await.unwrap();
    let again = start(&provider);
    assert_eq!(house.late(attempt.id).await, "in_doubt", "the store remembers what had begun");
    again.abort();
    serving.abort();
}
