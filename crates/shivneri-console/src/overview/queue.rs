//! What waits, what became of the rest, and the latest messages.

use std::{sync::Arc, time::SystemTime};

use maud::{Markup, html};
use shivneri_core::Lane;
use shivneri_spool::{
    LaneStats, Page, SpoolError, SpoolHealth, SpoolState, Stats, Status, Summary,
};

use crate::{format, shapes};

/// Alarms about the whole: mail is not taken, or nothing can be sent.
pub(crate) fn notice(health: &SpoolHealth, can_dispatch: bool) -> Markup {
    let refused = match (&health.state, &health.full) {
        (SpoolState::Poisoned { reason }, _) => Some(format!("the queue has stopped: {reason}")),
        (SpoolState::Closed, _) => Some("the server is stopping".to_owned()),
        (SpoolState::Open, full) => full.clone(),
    };
    html! {
        @if let Some(reason) = refused {
            p.notice.bad { strong { "No mail is taken: " } (reason) "." }
        }
        @if !can_dispatch {
            p.notice.warning {
                strong { "Mail is held: " }
                "no provider can take any now. It goes out by itself as soon as one can."
            }
        }
    }
}

/// Counts by lane, and totals over all of them.
pub(crate) fn queue(
    lanes: &[Arc<Lane>],
    stats: &Result<Stats, SpoolError>,
    now: SystemTime,
) -> Markup {
    let stats = match stats {
        Ok(stats) => stats,
        Err(error) => return unreadable(error),
    };
    let of = |lane: &Lane| stats.lanes.iter().find(|one| one.lane == lane.name);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Messages by lane" {
            table {
                thead { tr {
                    th scope="col" { "Lane" }
                    @for status in COLUMNS { th.number scope="col" { (shapes::word(status)) } }
                    th.number scope="col" { "oldest" }
                } }
                tbody {
                    @for lane in lanes {
                        tr {
                            th scope="row" { (lane.name) }
                            @for status in COLUMNS {
                                (number(of(lane).map_or(0, |found| in_state(found, status)), status))
                            }
                            td.number {
                                @match of(lane).and_then(|found| found.oldest) {
                                    Some(at) => (format::since(at, now)),
                                    None => "–",
                                }
                            }
                        }
                    }
                }
            }
        }
        (totals(stats))
    }
}

const COLUMNS: [Status; 4] = [Status::Queued, Status::Scheduled, Status::Sending, Status::InDoubt];

fn in_state(lane: &LaneStats, status: Status) -> u64 {
    lane.states.get(&status).copied().unwrap_or(0)
}

fn number(count: u64, status: Status) -> Markup {
    let alarming = count > 0 && status == Status::InDoubt;
    html! { td.number.zero[count == 0].warning[alarming] { (format::count(count)) } }
}

fn totals(stats: &Stats) -> Markup {
    let total = |status| stats.lanes.iter().map(|lane| in_state(lane, status)).sum::<u64>();
    let unfinished = [("waiting or under way", stats.unfinished())];
    let ends = Status::ALL.into_iter().filter(|status| status.is_final());
    html! {
        h3 { "All lanes" }
        dl.totals {
            @for (label, count) in unfinished { div { dt { (label) } dd { (format::count(count)) } } }
            @for status in ends {
                @let count = total(status);
                @if count > 0 || matches!(status, Status::Accepted | Status::InDoubt) {
                    div { dt { (shapes::word(status)) } dd { (format::count(count)) } }
                }
            }
            div {
                dt {
                    abbr title="messages that may have been sent twice, or may yet be: attempts \
                        under way and in doubt" { "duplicates at most" }
                }
                dd { (format::count(stats.duplicates_bound())) }
            }
        }
    }
}

/// The latest messages, each with a link to its page.
pub(crate) fn latest(messages: &Result<Page, SpoolError>) -> Markup {
    let messages = match messages {
        Ok(page) => &page.messages,
        Err(error) => return unreadable(error),
    };
    html! {
        @if messages.is_empty() {
            p.empty { "No mail yet. " a href="/compose" { "Compose the first" } "." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Latest messages" {
                table {
                    thead { tr {
                        th scope="col" { "Subject" }
                        th scope="col" { "Status" }
                        th scope="col" { "To" }
                        th scope="col" { "Provider" }
                        th scope="col" { "Accepted (UTC)" }
                    } }
                    tbody { @for message in messages { (row(message)) } }
                }
            }
        }
    }
}

fn row(message: &Summary) -> Markup {
    let others = message.recipients.len().saturating_sub(1);
    html! {
        tr {
            th.subject scope="row" {
                a id={ "message-" (message.id) } href={ "/messages/" (message.id) } {
                    (subject(&message.subject))
                }
            }
            td {
                (shapes::message_badge(message.status))
                @if message.in_doubt && message.status != Status::InDoubt {
                    " " (shapes::doubt_badge("in doubt"))
                }
                @if message.possible_duplicate { " " (shapes::doubt_badge("possible duplicate")) }
            }
            td.address {
                (message.recipients.first().map_or("", String::as_str))
                @if others > 0 { span.unit { " +" (others) } }
            }
            td { @match &message.provider { Some(id) => (id), None => "–" } }
            td { (format::entry(message.accepted_at)) }
        }
    }
}

/// A subject that can be seen and clicked even where it is empty.
pub(crate) fn subject(subject: &str) -> &str {
    if subject.trim().is_empty() { "(no subject)" } else { subject }
}

fn unreadable(error: &SpoolError) -> Markup {
    html! { p.notice.bad { "This can't be shown now: " (error) "." } }
}
