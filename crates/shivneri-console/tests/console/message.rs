//! The page of one message.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use bytes::Bytes;
use shivneri_core::{
    Answer, Doubt, Failure, Outcome, Receipt, SendError, Transition,
    draft::{AttachmentDraft, Draft},
};

use crate::fixture::{Fixture, draft};

#[tokio::test]
async fn a_queued_message_is_shown_with_its_content_and_kept_fresh() {
    let fixture = Fixture::new();
    let attachment = AttachmentDraft {
        filename: "a.pdf".into(),
        content_type: "application/pdf".into(),
        content: Bytes::from_static(&[0; 2048]),
        content_id: None,
    };
    let draft = Draft {
        cc: vec!["c@example.org".into()],
        tags: vec!["invoice".into()],
        attachments: vec![attachment],
        ..draft("Your invoice")
    };
    let id = fixture.accept(draft).await;
    let page = fixture.get(&format!("/messages/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows(r#"<h1 id="subject">Your invoice</h1>"#);
    page.shows("Asha &lt;asha@example.com&gt;");
    page.shows("c@example.org");
    page.shows("invoice");
    page.shows("application/pdf, 2.0 KiB");
    page.shows("None yet.");
    page.shows(&format!(r#"data-live="/console/messages/{id}/events""#));
    page.shows(r#"<noscript><meta http-equiv="refresh" content="5"></noscript>"#);
}

#[tokio::test]
async fn an_attempt_tells_where_why_there_and_what_came_of_it() {
    let fixture = Fixture::new();
    let id = fixture.accept(draft("x")).await;
    let reason = "the least latency; sandbox-b: disabled: by an operator";
    let (_, attempt) = fixture.begin("sandbox-a", reason).await;
    let path = format!("/messages/{id}");
    let open = fixture.get(&path).await;
    open.shows("under way");
    open.shows(r#"data-status="sending""#);
    fixture.end(&attempt, Outcome::Accepted(Receipt::new("acme-17")), Transition::Accepted).await;
    let page = fixture.get(&path).await;
    page.shows(r#"data-status="accepted""#);
    page.shows("Attempt 1");
    page.shows("<code>acme-17</code>");
    page.shows("<dt>Taken because</dt><dd>the least latency</dd>");
    page.shows("<li>sandbox-b: disabled: by an operator</li>");
    page.hides("data-live");
}

#[tokio::test]
async fn a_failed_attempt_shows_the_answer_and_what_the_message_waits_for() {
    let fixture = Fixture::new();
    let id = fixture.accept(draft("x")).await;
    let (_, attempt) = fixture.begin("sandbox-a", "the only one").await;
    let error = SendError::new(Failure::Unavailable, "the service is <b>down</b>")
        .with_answer(Answer::new(503, "<i>try later</i>"));
    let at = SystemTime::now() + Duration::from_secs(60);
    let retry = Transition::Retry { at, reason: "backing off".into() };
    fixture.end(&attempt, Outcome::Failed(error), retry).await;
    let page = fixture.get(&format!("/messages/{id}")).await;
    page.shows("unavailable");
    page.shows("<code>503</code> &lt;i&gt;try later&lt;/i&gt;");
    page.shows("the service is &lt;b&gt;down&lt;/b&gt;");
    page.shows("Waits: backing off");
}

#[tokio::test]
async fn doubt_is_said_in_words_while_it_lasts_and_when_it_is_final() {
    let fixture = Fixture::new();
    let id = fixture.accept(draft("x")).await;
    let (_, attempt) = fixture.begin("sandbox-a", "the only one").await;
    let error = || SendError::new(Failure::InDoubt(Doubt::Strong), "no answer in time");
    let until = SystemTime::now();
    fixture.end(&attempt, Outcome::Failed(error()), Transition::Doubt { until }).await;
    let path = format!("/messages/{id}");
    let page = fixture.get(&path).await;
    page.shows("in doubt</span>");
    page.shows("evidence is awaited");
    let (_, again) = fixture.begin("sandbox-a", "an earlier attempt there is in doubt").await;
    fixture.get(&path).await.shows("possible duplicate</span>");
    let end = Transition::InDoubt { reason: "resent twice".into() };
    fixture.end(&again, Outcome::Failed(error()), end).await;
    let page = fixture.get(&path).await;
    page.shows(r#"data-status="in_doubt""#);
    page.shows("is not sent again by itself");
    page.shows("may have arrived twice");
}

#[tokio::test]
async fn html_of_a_mail_is_shown_as_its_source() {
    let fixture = Fixture::new();
    let html = Some("<h1>hi</h1><script>alert(1)</script>".into());
    let id = fixture.accept(Draft { html, ..draft("<i>x</i>") }).await;
    let page = fixture.get(&format!("/messages/{id}")).await;
    page.shows("&lt;h1&gt;hi&lt;/h1&gt;&lt;script&gt;alert(1)&lt;/script&gt;");
    page.shows("&lt;i&gt;x&lt;/i&gt;");
    page.hides("<script>alert");
}

#[tokio::test]
async fn an_unknown_message_is_not_found() {
    let path = format!("/messages/{}", shivneri_core::MessageId::new());
    assert_eq!(Fixture::new().get(&path).await.status, StatusCode::NOT_FOUND);
}
