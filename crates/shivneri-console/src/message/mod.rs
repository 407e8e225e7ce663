//! One message: what it says, and what has become of it.

mod attempts;
mod content;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use shivneri_core::OnDoubt;
use shivneri_spool::{MessageRecord, Status};

use crate::{
    format,
    layout::{self, Here, Page},
    overview::subject,
    router::Console,
    shapes,
};

/// `GET /messages/{id}`.
pub(crate) async fn page(
    State(console): State<Console>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = id.parse() else { return layout::not_found(headers).await };
    let record = match console.parts.spool.get(id).await {
        Ok(Some(record)) => record,
        Ok(None) => return layout::not_found(headers).await,
        Err(error) => {
            let text = format!("The message can't be read now: {error}.");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return layout::problem(status, "Not readable now", &text);
        }
    };
    let live = (!record.status().is_final()).then(|| format!("/console/messages/{id}/events"));
    let version = Some(console.parts.version);
    document(&record, live, version).into_response()
}

fn document(
    record: &MessageRecord,
    live: Option<String>,
    version: Option<&str>,
) -> axum::response::Html<String> {
    let title = subject(&record.summary.subject);
    let body = html! {
        article aria-labelledby="subject" {
            p.above { "Message " code { (record.id()) } }
            h1 #subject { (title) }
            div #part-story { (story(record)) }
            (content::content(record))
        }
    };
    Page { title, here: Here::Elsewhere, live, version, body }.document()
}

/// The part that changes: status, recipients, attempts.
pub(crate) fn story(record: &MessageRecord) -> Markup {
    html! {
        div.story-head #story-head data-status=(record.status()) {
            (shapes::message_badge(record.status()))
            @if record.summary.in_doubt && record.status() != Status::InDoubt {
                (shapes::doubt_badge("in doubt"))
            }
            @if record.summary.possible_duplicate { (shapes::doubt_badge("possible duplicate")) }
            span.since { "accepted " (format::moment(record.summary.accepted_at)) }
        }
        (meaning(record))
        section aria-labelledby="recipients" {
            h2 #recipients { "Recipients" }
            ul.recipients {
                @for recipient in &record.recipients {
                    li { span.address { (recipient.address) } (shapes::message_badge(recipient.status)) }
                }
            }
        }
        section aria-labelledby="attempts" {
            h2 #attempts { "Attempts" }
            (attempts::list(record))
        }
    }
}

/// What the marks mean, and what the message waits for.
fn meaning(record: &MessageRecord) -> Markup {
    html! {
        @if record.status() == Status::InDoubt {
            p.notice.warning {
                "It was perhaps sent, perhaps not, and is not sent again by itself. Evidence that "
                "comes later may still settle it."
            }
        } @else if record.summary.in_doubt {
            p.notice.warning {
                "An attempt was perhaps sent, and evidence is awaited. Without any, "
                @match record.on_doubt {
                    OnDoubt::Resend => "it is sent again, and may then arrive twice.",
                    OnDoubt::Hold => "it is held, and not sent again.",
                }
            }
        }
        @if record.summary.possible_duplicate {
            p.notice.warning {
                "It was sent again while an earlier attempt was in doubt, so that it may have "
                "arrived twice."
            }
        }
        @if let Some(waiting) = &record.waiting {
            p.notice { "Waits: " (waiting.reason) ". Due again by " (format::moment(waiting.until)) "." }
        }
        @if let Some(at) = record.send_at && record.status() == Status::Scheduled {
            p.notice { "To be sent at " (format::moment(at)) "." }
        }
    }
}
