//! What was tried, where, why there, and what came of it.

use maud::{Markup, html};
use shivneri_spool::{AttemptRecord, MessageRecord};

use crate::{format, shapes};

/// Every attempt, in the order they were begun.
pub(crate) fn list(record: &MessageRecord) -> Markup {
    let deliveries = |attempt: &AttemptRecord| {
        record.attempts.iter().any(|other| other.delivery != attempt.delivery)
    };
    html! {
        @if record.attempts.is_empty() { p.empty { "None yet." } }
        ol.attempts {
            @for attempt in &record.attempts { (one(attempt, deliveries(attempt))) }
        }
    }
}

fn one(attempt: &AttemptRecord, name_delivery: bool) -> Markup {
    html! {
        li.attempt {
            div.attempt-head {
                h3 {
                    span.ordinal { "Attempt " (attempt.number) } " at " (attempt.provider)
                    @if let Some(agent) = &attempt.agent { span.unit { " by agent " (agent) } }
                }
                (shapes::outcome_badge(attempt.outcome.as_deref()))
                @if attempt.possible_duplicate { (shapes::doubt_badge("possible duplicate")) }
            }
            @if let Some(detail) = &attempt.detail { p.detail { (detail) } }
            dl.facts {
                dt { "Began" }
                dd { (format::moment(attempt.started_at)) }
                @if let Some(ended) = attempt.ended_at {
                    dt { "Took" }
                    dd { (format::took(attempt.started_at, ended)) }
                }
                @if let Some(id) = &attempt.provider_message_id {
                    dt { "Provider's id" }
                    dd { code { (id) } }
                }
                @if let Some(answer) = &attempt.answer {
                    dt { "Answer" }
                    dd { code { (answer.status) } " " (answer.text) }
                }
                @if name_delivery { dt { "Delivery" } dd { code { (attempt.delivery) } } }
                (choice(&attempt.reason))
            }
        }
    }
}

/// The reason begins with why this provider was taken; each further clause is about another.
fn choice(reason: &str) -> Markup {
    let mut clauses = reason.split("; ").filter(|clause| !clause.is_empty());
    let taken = clauses.next();
    let passed: Vec<_> = clauses.collect();
    html! {
        @if let Some(taken) = taken { dt { "Taken because" } dd { (taken) } }
        @if !passed.is_empty() {
            dt { "Passed over" }
            dd { ul.passed { @for clause in passed { li { (clause) } } } }
        }
    }
}
