//! One provider at a glance.

use std::time::SystemTime;

use maud::{Markup, html};
use shivneri_core::registry::ProviderView;

use crate::{format, shapes};

/// A provider's tile. Its element's id is `tile-` and the provider's id.
pub(crate) fn tile(view: &ProviderView, since: SystemTime, now: SystemTime) -> Markup {
    let look = shapes::of_provider(view.status);
    let word = view.status.as_str();
    let percent = (view.share.clamp(0.0, 1.0) * 100.0).round() as u32;
    html! {
        li id={ "tile-" (view.id) } class={ "tile " (look.0.class()) } data-provider=(view.id)
            data-status=(word)
        {
            div.tile-head {
                h3 { (view.id) }
                p.kind {
                    (view.kind)
                    @if view.remote { " · " (agents(view)) }
                    @if view.tier > 0 { " · tier " (view.tier) }
                }
            }
            p.status { (shapes::badge(look, word)) span.since { "for " (format::since(since, now)) } }
            @if !view.reason.is_empty() { p.reason { (view.reason) } }
            dl.numbers {
                div.wide {
                    dt { "Share" }
                    dd {
                        span.figure { (percent) " %" }
                        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"
                            focusable="false"
                        {
                            rect.track width="100" height="6" {}
                            rect.fill width=(percent) height="6" {}
                        }
                    }
                }
                div { dt { "Rate" } dd { (format!("{:.1}", view.rate)) span.unit { "/s" } } }
                div {
                    dt { "In flight" }
                    dd { (view.in_flight) span.unit { " of " (view.window) } }
                }
                div {
                    dt { abbr title="95 % of recent answers came within this time" { "p95" } }
                    dd { (view.p95.map_or_else(|| "–".to_owned(), format::latency)) }
                }
            }
        }
    }
}

fn agents(view: &ProviderView) -> String {
    match view.agents.len() {
        0 => "no agent".to_owned(),
        1 => format!("agent {}", view.agents[0].id),
        many => format!("{many} agents"),
    }
}
