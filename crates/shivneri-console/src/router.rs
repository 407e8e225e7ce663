//! The pages' addresses, and what they share.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use shivneri_core::{Registry, Submit};
use shivneri_spool::Spool;
use tokio::sync::watch;

use crate::{assets, compose, layout, live, message, overview, protect};

/// What the pages show, and where what is written in them goes.
#[derive(Clone, Debug)]
pub struct ConsoleParts {
    /// Takes the mail that is written on the compose page.
    pub submit: Arc<dyn Submit>,
    /// The providers.
    pub registry: Arc<Registry>,
    /// The queue.
    pub spool: Arc<dyn Spool>,
    /// The server's version, as the footer shows it.
    pub version: &'static str,
    /// Bytes that one form may have at most, its files included.
    pub max_upload: usize,
}

/// What every handler gets.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    pub(crate) parts: Arc<ConsoleParts>,
    pub(crate) board: Arc<overview::Board>,
    pub(crate) seats: live::Seats,
    pub(crate) sent: Arc<compose::Sent>,
    pub(crate) closing: Option<watch::Receiver<bool>>,
}

/// The pages: `/`, `/compose`, `/messages/{id}`, and what they need under `/console`.
///
/// Has no fallback, so that it can be merged with a router that has one; see
/// [`not_found`](crate::not_found) for a page that suits. Puts no access control around itself,
/// but refuses forms that another site posts.
///
/// Streams of events go on until the spool is closed. A server that waits for open connections
/// before it closes the spool needs [`router_until`].
pub fn router(parts: ConsoleParts) -> Router {
    build(parts, None)
}

/// The pages of [`router`], whose streams of events end once `closing` says true or its sender is
/// gone. Without that, a page somewhere left open keeps a graceful shutdown waiting.
pub fn router_until(parts: ConsoleParts, closing: watch::Receiver<bool>) -> Router {
    build(parts, Some(closing))
}

fn build(parts: ConsoleParts, closing: Option<watch::Receiver<bool>>) -> Router {
    let board = overview::Board::new(Arc::clone(&parts.registry), Arc::clone(&parts.spool));
    let console = Console {
        parts: Arc::new(parts),
        board: Arc::new(board),
        seats: live::Seats::default(),
        sent: Arc::default(),
        closing,
    };
    Router::new()
        .route("/", get(overview::page))
        .route(
            "/compose",
            // Its own limit lets it tell what is wrong.
            get(compose::page).post(compose::send).layer(DefaultBodyLimit::disable()),
        )
        .route("/messages/{id}", get(message::page))
        .route("/messages/{id}/{*rest}", get(layout::not_found))
        .route("/console/events", get(live::overview))
        .route("/console/messages/{id}/events", get(live::message))
        .route("/console/assets/{name}", get(assets::serve))
        .route("/console/{*rest}", get(layout::not_found))
        .layer(middleware::map_response(protect::headers))
        .with_state(console)
}
