//! The first page: every provider, the queue, the latest messages.

mod board;
mod queue;
mod tile;

use axum::{extract::State, response::Html};
use maud::{PreEscaped, html};

pub(crate) use board::{Board, Snapshot};
pub(crate) use queue::subject;

use crate::{
    layout::{Here, Page},
    router::Console,
};

/// `GET /`.
pub(crate) async fn page(State(console): State<Console>) -> Html<String> {
    let now = console.board.look().await;
    let part = |name| html! { div id={ "part-" (name) } { (PreEscaped(now.part(name))) } };
    let body = html! {
        h1 { "Overview" }
        (part("notice"))
        section aria-labelledby="providers" {
            h2 #providers { "Providers" }
            ul #tiles .tiles {
                @for (_, tile) in &now.tiles { (PreEscaped(tile)) }
            }
            p.empty hidden[!now.tiles.is_empty()] #no-tiles {
                "No provider is known yet. Configure one, or start an agent; it shows up here by "
                "itself. Mail is taken meanwhile, and waits."
            }
        }
        section aria-labelledby="queue" { h2 #queue { "Queue" } (part("queue")) }
        section aria-labelledby="latest" { h2 #latest { "Latest messages" } (part("latest")) }
    };
    Page {
        title: "Overview",
        here: Here::Overview,
        live: Some("/console/events".to_owned()),
        version: Some(console.parts.version),
        body,
    }
    .document()
}
