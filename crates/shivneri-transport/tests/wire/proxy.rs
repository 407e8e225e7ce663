//! A way to the server that can be cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub(crate) struct Proxy {
    pub(crate) url: String,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (cuts, mut cut) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        connections.spawn(async move {
                            let Ok(mut far) = TcpStream::connect(server).await else { return };
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        });
                    }
                    _ = cut.changed() => connections.shutdown().await,
                }
            }
        });
        Self { url, cuts, task }
    }

    /// Closes every connection; new ones are taken.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
