//! Reaching the server: two connections, so that bodies queue behind bodies only.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tonic::{
    Request,
    codegen::{BoxFuture, Service, http::Uri},
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use super::{AgentError, AgentOptions, Connect, Connection};
use crate::{
    protocol::{CHUNK, MAX_FRAME},
    wire::agents_client::AgentsClient,
};

const CONNECT: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A server that pauses for less than these together is not given up.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Dialer {
    control: Endpoint,
    way: Option<Way>,
    pub(super) bodies: AgentsClient<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

impl Dialer {
    pub(super) fn new(options: &AgentOptions) -> Result<Self, AgentError> {
        let wrong = |reason: String| AgentError::Server { server: options.server.clone(), reason };
        if !options.server.starts_with("http://") {
            return Err(wrong("it does not begin with http://".into()));
        }
        let endpoint = Endpoint::from_shared(options.server.clone())
            .map_err(|error| wrong(error.to_string()))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let way = options.connect.clone().map(Way);
        let bodies = endpoint
            .clone()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(8 << 20);
        let bodies = match &way {
            Some(way) => bodies.connect_with_connector_lazy(way.clone()),
            None => bodies.connect_lazy(),
        };
        let token = options.token.as_ref().map(bearer).transpose();
        let token = token.map_err(|()| AgentError::Refused {
            agent: options.agent.clone(),
            reason: "the token holds characters that no header can carry".into(),
        })?;
        Ok(Self {
            control: endpoint.keep_alive_while_idle(true),
            way,
            bodies: AgentsClient::new(bodies).max_decoding_message_size(2 * CHUNK),
            token,
        })
    }

    pub(super) async fn connect(&self) -> Result<AgentsClient<Channel>, String> {
        let connected = match &self.way {
            Some(way) => self.control.connect_with_connector(way.clone()).await,
            None => self.control.connect().await,
        };
        let channel = connected.map_err(|error| chain(&error))?;
        Ok(AgentsClient::new(channel)
            .max_decoding_message_size(MAX_FRAME)
            .max_encoding_message_size(MAX_FRAME))
    }

    /// A request with the proof of identity.
    pub(super) fn request<T>(&self, content: T) -> Request<T> {
        let mut request = Request::new(content);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }
}

/// The way that the options name instead of TCP.
#[derive(Clone, Debug)]
struct Way(Arc<dyn Connect>);

impl Service<Uri> for Way {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = BoxFuture<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        Box::pin(async move { way.connect().await.map(TokioIo::new) })
    }
}

fn bearer(token: &SecretString) -> Result<MetadataValue<Ascii>, ()> {
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {}", token.expose_secret()).parse().map_err(|_| ())?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and what is below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        text = format!("{text}: {source}");
        below = source.source();
    }
    text
}

/// Pauses between dials: doubling from 100 ms to 5 s, each between a half and the whole of it.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let draw = Uuid::new_v4().as_u64_pair().1;
        let pause = pause(self.failures, draw);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

fn pause(failures: u32, draw: u64) -> Duration {
    let whole = SHORTEST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    // The low bits of a random UUID are uniform.
    let share = (draw % 1024) as u32;
    whole / 2 + whole / 2 * share / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_seconds_and_are_spread() {
        let longest: Vec<u128> = (0..8).map(|k| pause(k, 1023).as_millis()).collect();
        assert_eq!(longest, [99, 199, 399, 799, 1599, 3198, 4997, 4997]);
        assert_eq!(pause(0, 0), Duration::from_millis(50));
        assert_eq!(pause(u32::MAX, 0), Duration::from_millis(2500));
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for server in ["", "127.0.0.1:8526", "https://example.com", "http://"] {
            let options = AgentOptions::new(server, "a".parse().unwrap());
            let error = Dialer::new(&options).unwrap_err();
            assert!(error.to_string().contains("address of a server"), "{server}: {error}");
        }
    }
}
