//! Ways to the server other than TCP.

use std::{fmt, io};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes to the server.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection for T {}

/// Opens connections to the server by another way than TCP.
///
/// # Contract
///
/// * Each call opens a connection of its own: an agent keeps two, so that bodies do not keep
///   beats waiting.
/// * Nothing the server writes is read before the agent reads it.
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// Opens one more connection. Given up after 5 s.
    ///
    /// # Errors
    ///
    /// Why the server can't be reached; it is dialled again.
    async fn connect(&self) -> io::Result<Box<dyn Connection>>;
}
