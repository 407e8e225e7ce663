use super::state::Shared;
use std::sync::Arc;
use tokio::net::TcpStream;
pub(super) async fn serve(_stream: TcpStream, _shared: Arc<Shared>) {}
