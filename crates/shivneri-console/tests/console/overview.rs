//! The first page.

use axum::http::StatusCode;
use shivneri_core::{ProviderSettings, draft::Draft, health::Admin};

use crate::fixture::{Fixture, draft};

#[tokio::test]
async fn each_provider_has_a_tile_with_its_status_in_a_word() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    fixture.add_provider("sandbox-b");
    fixture.registry.administer(&"sandbox-b".parse().unwrap(), Admin::Disabled).unwrap();
    let page = fixture.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows(r#"id="tile-sandbox-a""#);
    page.shows(r#"data-provider="sandbox-a" data-status="active""#);
    page.shows(r#"data-provider="sandbox-b" data-status="disabled""#);
    page.shows("100 %");
    page.shows(" of 64");
    page.shows("0.0.0-test");
}

#[tokio::test]
async fn without_any_provider_the_page_says_what_to_do_and_that_mail_is_held() {
    let page = Fixture::new().get("/").await;
    page.shows("No provider is known yet");
    page.shows("Mail is held");
    page.shows("Compose the first");
}

#[tokio::test]
async fn the_queue_is_counted_by_lane_and_the_latest_messages_are_linked() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let id = fixture.accept(draft("Your invoice")).await;
    fixture.accept(Draft { lane: Some("bulk".into()), ..draft("News") }).await;
    let page = fixture.get("/").await;
    for lane in ["critical", "transactional", "bulk"] {
        page.shows(&format!(r#"<th scope="row">{lane}</th>"#));
    }
    page.shows(&format!(r#"href="/messages/{id}">Your invoice</a>"#));
    page.shows("<dt>waiting or under way</dt><dd>2</dd>");
    page.shows("b@example.org");
    page.hides("Mail is held");
}

#[tokio::test]
async fn only_the_latest_twenty_messages_are_listed() {
    let fixture = Fixture::new();
    for number in 0..21 {
        fixture.accept(draft(&format!("mail number {number}."))).await;
    }
    let page = fixture.get("/").await;
    assert_eq!(page.body.matches("mail number").count(), 20);
    page.hides("mail number 0.");
}

#[tokio::test]
async fn a_hostile_subject_is_text_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.accept(draft("<script>alert(1)</script>\"'&")).await;
    let page = fixture.get("/").await;
    page.shows("&lt;script&gt;alert(1)&lt;/script&gt;");
    page.hides("<script>alert");
}

#[tokio::test]
async fn a_hostile_reason_of_a_provider_is_text_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.add_provider("sandbox-a");
    let fault = (shivneri_core::Fault::Key, "<img src=x onerror=alert(1)>");
    let id = "sandbox-a".parse().unwrap();
    fixture.registry.restore(&id, Admin::Enabled, None, Some(fault)).unwrap();
    let page = fixture.get("/").await;
    page.shows("misconfigured");
    page.shows("&lt;img src=x onerror=alert(1)&gt;");
    page.hides("<img src=x");
}

#[tokio::test]
async fn an_empty_subject_can_still_be_clicked() {
    let fixture = Fixture::new();
    fixture.accept(draft("")).await;
    fixture.get("/").await.shows("(no subject)</a>");
}

#[tokio::test]
async fn a_remote_provider_without_an_agent_is_shown_offline() {
    let fixture = Fixture::new();
    let provider = std::sync::Arc::new(shivneri_testkit::ScriptedProvider::new("mailgun"));
    fixture.registry.add_remote(provider, ProviderSettings::default()).unwrap();
    let page = fixture.get("/").await;
    page.shows(r#"data-provider="mailgun" data-status="offline""#);
    page.shows("no agent");
}
