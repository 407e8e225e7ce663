//! An HTTP/1.1 server that misbehaves as told: on raw TCP, so that it can reset, trickle, stall
//! and close where no well-behaved server would.

mod connection;
mod http1;
mod reply;
mod state;

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};

pub use reply::{Answer, Reply};
pub use state::Recorded;
use state::Shared;

/// Small, so that a body of several MiB can't hide in the sockets' buffers unread.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// Serves on a loopback port of its own what it was told, and records what it was asked.
///
/// It owns its tasks: dropping it ends them and resets what is still connected. Answers are
/// taken from the script in the order in which requests' heads arrive.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

impl FaultServer {
    /// Listens on a free loopback port.
    ///
    /// # Panics
    ///
    /// Where loopback gives no port, and outside a tokio runtime with I/O and time.
    pub async fn start() -> Self {
        let listener = listen().expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::new());
        let listener = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, listener }
    }

    /// Its base URL, as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Treats every request from now on like this.
    pub fn reply_with(&self, reply: Reply) {
        self.script([reply]);
    }

    /// Treats the next requests like these, one each, and all later ones like the last. What was
    /// left of an earlier script is forgotten.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.change(|state| state.script = replies.into_iter().collect());
    }

    /// Every request whose head arrived whole, in the order in which they were read.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.read(|state| state.requests.clone())
    }

    /// Waits for the next request that this method has not yet given out.
    ///
    /// Cancel-safe: a request is given out only when the future completes.
    pub async fn next_request(&self) -> Recorded {
        loop {
            self.shared.until(|state| state.requests.len() > state.taken).await;
            let next = self.shared.change(|state| {
                let next = state.requests.get(state.taken).cloned();
                state.taken += usize::from(next.is_some());
                next
            });
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// How many TCP connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.shared.read(|state| state.connections)
    }

    /// How many of them are still open.
    pub fn open_connections(&self) -> usize {
        self.shared.read(|state| state.connections - state.closed)
    }

    /// Waits until no connection is open, whoever closed it.
    pub async fn all_closed(&self) {
        self.shared.until(|state| state.connections == state.closed).await;
    }

    /// How many bytes of answers the sockets have taken.
    pub fn answered_bytes(&self) -> u64 {
        self.shared.read(|state| state.answered_bytes)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        // The connections' tasks live in the listener's and end with it.
        self.listener.abort();
    }
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = accepted {
            connections.spawn(connection::serve(stream, Arc::clone(&shared)));
        }
    }
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}
