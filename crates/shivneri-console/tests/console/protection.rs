//! What every answer carries, and what is refused.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};

use crate::fixture::{Fixture, form, get};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

#[tokio::test]
async fn every_answer_forbids_inline_script_frames_and_sniffing() {
    let fixture = Fixture::new();
    for path in ["/", "/compose", "/messages/nothing", "/console/assets/console.js"] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
    }
}

#[tokio::test]
async fn no_page_has_anything_inline_that_the_policy_would_stop() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    for path in ["/", "/compose"] {
        let answer = fixture.get(path).await;
        answer.hides(" style=");
        answer.hides("<style");
        answer.hides(" onclick=");
        answer.shows(r#"<script src="/console/assets/console.js" defer></script>"#);
        assert_eq!(answer.body.matches("<script").count(), 1, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_form_that_another_site_posts_is_refused_and_nothing_is_sent() {
    let fixture = Fixture::new();
    let fields = [("from", "a@example.com"), ("to", "b@example.org"), ("text", "hi")];
    let mut request = form(&fields, &[]);
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(fixture.send(request).await.status, StatusCode::FORBIDDEN);
    let mut request = form(&fields, &[]);
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(fixture.send(request).await.status, StatusCode::FORBIDDEN);
    fixture.get("/").await.shows("No mail yet");
}

#[tokio::test]
async fn assets_are_served_once_and_then_found_unchanged() {
    let fixture = Fixture::new();
    for (name, kind) in [
        ("console.css", "text/css; charset=utf-8"),
        ("console.js", "text/javascript; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ] {
        let path = format!("/console/assets/{name}");
        let first = fixture.get(&path).await;
        assert_eq!((first.status, first.header("content-type")), (StatusCode::OK, kind));
        assert_eq!(first.header("cache-control"), "no-cache");
        let mut again = get(&path);
        again.headers_mut().insert("if-none-match", first.headers["etag"].clone());
        let again = fixture.send(again).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
}

#[tokio::test]
async fn where_nothing_is_a_browser_gets_a_page_and_a_program_a_problem() {
    let fixture = Fixture::new();
    for path in [
        "/messages/nothing",
        "/messages/x/y",
        "/console/assets/x.js",
        "/console/x",
        "/console/messages/x/events",
    ] {
        let page = fixture.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        page.shows("<h1>Not found</h1>");
    }
    let request = Request::get("/messages/nothing").body(Body::empty()).unwrap();
    let problem = fixture.send(request).await;
    assert_eq!(problem.header("content-type"), "application/problem+json");
    problem.shows(r#""code":"not_found""#);
}
