//! What a message says. Bodies are shown as text, HTML too: it is a stranger's.

use maud::{Markup, html};
use shivneri_core::{Email, Mailbox};
use shivneri_spool::MessageRecord;

use crate::format;

/// Headers, bodies and attachments' names.
pub(crate) fn content(record: &MessageRecord) -> Markup {
    html! {
        section aria-labelledby="content-title" {
            h2 #content-title { "Content" }
            @match &record.email {
                Some(email) => (whole(record, email)),
                None => p.empty {
                    "The content is no longer kept. It was from " (record.summary.from) "."
                },
            }
        }
    }
}

fn whole(record: &MessageRecord, email: &Email) -> Markup {
    let lists = [
        ("To", email.to()),
        ("Cc", email.cc()),
        ("Bcc", email.bcc()),
        ("Reply to", email.reply_to()),
    ];
    html! {
        dl.facts {
            dt { "From" } dd { (email.from()) }
            @for (label, list) in lists {
                @if !list.is_empty() { dt { (label) } dd { (mailboxes(list)) } }
            }
            dt { "Lane" } dd { (record.summary.lane) }
            @if !email.tags().is_empty() { dt { "Tags" } dd { (email.tags().join(", ")) } }
            @for (key, value) in email.metadata() { dt { (key) } dd { (value) } }
            @for header in email.headers() { dt { (header.name()) } dd { (header.value()) } }
            dt { "Came through" } dd { (record.summary.door) ", " (record.summary.owner) }
            dt { "Expires" } dd { (format::moment(record.deadline)) }
        }
        @if let Some(text) = email.text() {
            h3 { "Text" }
            pre tabindex="0" aria-label="Text of the message" { (text) }
        }
        @if let Some(source) = email.html() {
            details {
                summary { "HTML source" }
                pre tabindex="0" aria-label="HTML source of the message" { (source) }
            }
        }
        @if !email.attachments().is_empty() {
            h3 { "Attachments" }
            ul.files {
                @for file in email.attachments() {
                    li {
                        (file.filename()) " "
                        span.unit { (file.content_type()) ", " (format::size(file.content().len())) }
                    }
                }
            }
        }
    }
}

fn mailboxes(list: &[Mailbox]) -> String {
    list.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(", ")
}
