//! The form.

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use shivneri_core::MessageId;
use shivneri_spool::{MessageRecord, Spool};

use crate::fixture::{Answer, Fixture, MAX_UPLOAD, form};

const GOOD: [(&str, &str); 4] = [
    ("from", "Asha <asha@example.com>"),
    ("to", r#""Rao, Bina" <b@example.org>, c@example.org,"#),
    ("subject", "Your invoice"),
    ("text", "\r\nfirst\r\nsecond"),
];

/// The good form with one field changed.
fn with<'a>(name: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<(&'a str, &'a str)> = GOOD.to_vec();
    match fields.iter_mut().find(|(other, _)| *other == name) {
        Some(field) => field.1 = value,
        None => fields.push((Box::leak(name.to_owned().into_boxed_str()), value)),
    }
    fields
}

async fn record_of(fixture: &Fixture, answer: &Answer) -> MessageRecord {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let id: MessageId =
        answer.header("location").strip_prefix("/messages/").unwrap().parse().unwrap();
    fixture.spool.get(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_good_form_becomes_a_message_and_leads_to_its_page() {
    let fixture = Fixture::new();
    let more = [("cc", "d@example.org"), ("bcc", "e@example.org"), ("reply_to", "f@example.org")];
    let html = [("html", "<b>hi</b>"), ("lane", "critical")];
    let fields = [&GOOD[..], &more, &html].concat();
    let files = [("a.pdf", "application/pdf", "one"), ("ü b.txt", "text/plain", "two")];
    let record = record_of(&fixture, &fixture.post(&fields, &files).await).await;
    let email = record.email.clone().unwrap();
    assert_eq!(email.to()[0].name(), Some("Rao, Bina"));
    assert_eq!((email.to().len(), email.cc().len(), email.bcc().len()), (2, 1, 1));
    assert_eq!(email.reply_to()[0].address().as_str(), "f@example.org");
    assert_eq!((email.text(), email.html()), (Some("\nfirst\nsecond"), Some("<b>hi</b>")));
    assert_eq!(record.summary.lane.as_str(), "critical");
    let names: Vec<_> = email.attachments().iter().map(|file| file.filename()).collect();
    assert_eq!(names, ["a.pdf", "ü b.txt"]);
    assert_eq!(email.attachments()[0].content_type(), "application/pdf");
    assert_eq!(email.attachments()[1].content().as_ref(), b"two");
}

#[tokio::test]
async fn an_untouched_file_field_is_no_attachment() {
    let fixture = Fixture::new();
    let answer = fixture.post(&GOOD, &[("", "application/octet-stream", "")]).await;
    let record = record_of(&fixture, &answer).await;
    assert!(record.email.unwrap().attachments().is_empty());
}

#[tokio::test]
async fn each_bad_field_has_its_error_beside_it_and_what_was_typed_is_kept() {
    let fixture = Fixture::new();
    for (name, value, why) in [
        ("from", "", "From is required."),
        ("from", "nobody", "The address has no @."),
        ("to", "", "At least one recipient is required."),
        ("to", "b@example.org, x y", "“x y”: the address has no @."),
        ("cc", "d@", "“d@”: the part after the @ is not a domain name."),
        ("bcc", "@d", "“@d”: the part before the @ is not valid"),
        ("reply_to", "A <b@c", "“A &lt;b@c”: the"),
        ("lane", "nosuch", "No lane nosuch."),
        ("text", " ", "Text or html is required."),
    ] {
        let answer = fixture.post(&with(name, value), &[]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}");
        let beside = answer.body.split(&format!(r#"<p class="error" id="{name}-error">"#)).nth(1);
        let beside = beside.unwrap_or_else(|| panic!("no error beside {name}: {}", answer.body));
        assert!(beside.split("</p>").next().unwrap().contains(why), "{name}={value}: {beside}");
        let control = answer.body.split(&format!(r#" id="{name}" name="{name}""#)).nth(1).unwrap();
        let control = control.split('>').next().unwrap();
        assert!(control.contains(r#"aria-invalid="true""#), "{name}: {control}");
        assert!(control.contains(&format!(r#"aria-describedby="{name}-error"#)), "{control}");
        answer.shows(&format!(r##"<a href="#{name}">"##));
        answer.shows(r#"id="errors" tabindex="-1" autofocus"#);
        answer.shows(r#"value="Your invoice""#);
        assert_eq!(answer.body.matches(r#"class="error""#).count(), 1, "{name}={value}");
    }
    fixture.get("/").await.shows("No mail yet");
}

#[tokio::test]
async fn what_was_typed_comes_back_as_text_and_nothing_else() {
    let fixture = Fixture::new();
    let hostile = r#"</textarea><script>alert(1)</script>"#;
    let fields = [("from", r#""><script>x"#), ("text", hostile)];
    let answer = fixture.post(&fields, &[]).await;
    answer.shows("&lt;/textarea&gt;&lt;script&gt;");
    answer.shows("value=\"&quot;&gt;&lt;script&gt;x\"");
    assert_eq!(answer.body.matches("<script").count(), 1);
}

#[tokio::test]
async fn files_have_to_be_chosen_again_after_an_error_and_the_page_says_so() {
    let fixture = Fixture::new();
    let answer = fixture.post(&with("from", ""), &[("a.txt", "text/plain", "x")]).await;
    answer.shows("Please choose the files again");
}

#[tokio::test]
async fn a_file_with_a_bad_type_is_named_beside_the_attachments() {
    let fixture = Fixture::new();
    // A type that can't be parsed is taken for none; an empty name with content is refused.
    let answer = fixture.post(&GOOD, &[("", "text/plain", "x")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.shows(r#"id="attachments-error""#);
    answer.shows("the file name is empty");
}

#[tokio::test]
async fn too_large_a_form_is_refused_with_what_was_typed() {
    let fixture = Fixture::new();
    let large = "x".repeat(MAX_UPLOAD);
    let files = [("a.bin", "application/octet-stream", large.as_str())];
    // As it comes over a connection: piece by piece.
    let (head, body) = form(&GOOD, &files).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let pieces: Vec<_> =
        body.chunks(4096).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    let body = Body::from_stream(stream::iter(pieces));
    let answer = fixture.send(Request::from_parts(head, body)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    answer.shows("over 64.0 KiB");
    answer.shows(r#"value="Your invoice""#);
    fixture.get("/").await.shows("No mail yet");
}

#[tokio::test]
async fn a_field_that_the_form_does_not_have_is_refused_by_name() {
    let fixture = Fixture::new();
    let answer = fixture.post(&with("send_at", "tomorrow"), &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.shows("The form has no field “send_at”.");
}

#[tokio::test]
async fn what_is_no_multipart_form_is_refused() {
    let fixture = Fixture::new();
    let request = Request::post("/compose")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("from=a"))
        .unwrap();
    assert_eq!(fixture.send(request).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_same_showing_of_the_form_posted_twice_sends_once() {
    let fixture = Fixture::new();
    let fields = with("token", "t-1");
    let first = fixture.post(&fields, &[]).await;
    let second = fixture.post(&fields, &[]).await;
    assert_eq!(first.header("location"), second.header("location"));
    let changed = fixture.post(&[&fields[..], &[("cc", "d@example.org")]].concat(), &[]).await;
    assert_ne!(first.header("location"), changed.header("location"));
}

#[tokio::test]
async fn when_no_mail_is_taken_the_form_says_so_and_keeps_what_was_typed() {
    let fixture = Fixture::new();
    fixture.spool.close().await;
    let answer = fixture.post(&GOOD, &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "7");
    answer.shows("can't be taken now");
    answer.shows(r#"value="Your invoice""#);
}

#[tokio::test]
async fn the_lanes_of_the_spool_can_be_chosen() {
    let page = Fixture::new().get("/compose").await;
    page.shows(r#"<option value="critical">"#);
    page.shows(r#"<option value="transactional" selected>"#);
    page.shows(r#"<option value="bulk">"#);
}
