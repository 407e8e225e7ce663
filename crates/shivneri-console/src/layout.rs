//! What every page has: head, way around, footer.

use axum::{
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

/// Which link of the navigation is the present page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    Overview,
    Compose,
    Elsewhere,
}

/// A page before it is put into the frame that all have.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) here: Here,
    /// Where the script hears of changes; without a script the page loads itself again.
    pub(crate) live: Option<String>,
    pub(crate) version: Option<&'a str>,
    pub(crate) body: Markup,
}

impl Page<'_> {
    /// The whole document.
    pub(crate) fn document(&self) -> Html<String> {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Shivneri" }
                    link rel="icon" href="/console/assets/mark.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/console/assets/console.css";
                    script src="/console/assets/console.js" defer {}
                    @if self.live.is_some() {
                        noscript { meta http-equiv="refresh" content="5"; }
                    }
                }
                body data-live=[self.live.as_deref()] {
                    a.skip href="#content" { "Skip to content" }
                    (self.header())
                    main #content tabindex="-1" { (self.body) }
                    footer {
                        "Shivneri"
                        @if let Some(version) = self.version { " " (version) }
                    }
                    div #announce .unseen role="status" aria-live="polite" {}
                }
            }
        };
        Html(markup.into_string())
    }

    fn header(&self) -> Markup {
        let current = |here| (self.here == here).then_some("page");
        html! {
            header.top {
                a.brand href="/" {
                    img src="/console/assets/mark.svg" alt="" width="32" height="32";
                    span { "Shivneri" }
                }
                nav aria-label="Main" {
                    a href="/" aria-current=[current(Here::Overview)] { "Overview" }
                    a href="/compose" aria-current=[current(Here::Compose)] { "Compose" }
                }
                @if self.live.is_some() {
                    p #live .live hidden { span.dot aria-hidden="true" {} span #live-word { "Live" } }
                }
            }
        }
    }
}

/// A page that says that something could not be done.
pub(crate) fn problem(status: StatusCode, title: &str, text: &str) -> Response {
    let body = html! {
        section.problem {
            p.code aria-hidden="true" { (status.as_u16()) }
            h1 { (title) }
            p { (text) }
            p { a href="/" { "To the overview" } }
        }
    };
    let page = Page { title, here: Here::Elsewhere, live: None, version: None, body };
    (status, page.document()).into_response()
}

/// Answers for an address at which there is nothing: a page to a browser, a problem (RFC 9457)
/// to a program.
pub async fn not_found(headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        let text = "There is nothing at this address. A message may have been erased, or be past its retention.";
        return problem(StatusCode::NOT_FOUND, "Not found", text);
    }
    let body = serde_json::json!({
        "type": "about:blank", "title": "Not Found", "status": 404, "code": "not_found",
        "detail": "there is nothing at this address",
    });
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (StatusCode::NOT_FOUND, kind, body.to_string()).into_response()
}
