//! Who may do what.

use axum::{Router, routing::get};
use http::StatusCode;
use shivneri_core::{Submit, submit::Door};
use shivneri_ingress::{Access, ConfiguredKey, Scope, keys};
use shivneri_spool::{ApiKey, Memory, Register as _};

use crate::rig::{Got, JSON, Rig, message};

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

async fn as_key(rig: &Rig, secret: &str, method: &str, path: &str) -> Got {
    let authorization = bearer(secret);
    let headers = [JSON, ("authorization", authorization.as_str()), ("host", "mail.example.com")];
    let body = if method == "POST" { message().to_string() } else { String::new() };
    rig.call(method, path, &headers, body).await
}

#[tokio::test]
async fn without_any_key_only_a_loopback_host_is_served() {
    let rig = Rig::new().await;
    for (host, status) in [
        ("localhost:8525", 200),
        ("127.0.0.1:8525", 200),
        ("[::1]:8525", 200),
        ("rebound.example:8525", 403),
        ("192.168.1.5:8525", 403),
    ] {
        let got = rig.call("GET", "/v1/messages", &[("host", host)], "").await;
        assert_eq!(got.status, status, "{host}");
    }
    let rebound = [("host", "rebound.example")];
    let got = rig.call("GET", "/v1/messages", &rebound, "").await;
    assert_eq!(got.problem(), (403, "forbidden".to_owned(), vec![]));
    assert!(got.text.contains("rebound.example"));
}

#[tokio::test]
async fn without_any_key_a_foreign_page_can_do_nothing() {
    let rig = Rig::new().await;
    let post = async |name, value| {
        let headers = [JSON, (name, value)];
        rig.call("POST", "/v1/messages", &headers, message().to_string()).await.status
    };
    assert_eq!(post("origin", "https://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(post("origin", "http://localhost:3000").await, StatusCode::FORBIDDEN);
    assert_eq!(post("origin", "null").await, StatusCode::FORBIDDEN);
    assert_eq!(post("sec-fetch-site", "cross-site").await, StatusCode::FORBIDDEN);
    assert_eq!(post("origin", "http://localhost:8525").await, StatusCode::ACCEPTED);
    assert_eq!(post("sec-fetch-site", "same-origin").await, StatusCode::ACCEPTED);
    let headers = [("origin", "https://evil.example")];
    assert_eq!(rig.call("GET", "/v1/messages", &headers, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn once_a_key_exists_it_is_asked_for_even_on_loopback() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/v1/messages").await.status, StatusCode::OK);
    let key = keys::create(rig.spool.as_ref(), "ops", &[Scope::Read]).await.unwrap();
    rig.access.refresh().await.unwrap();
    let got = rig.get("/v1/messages").await;
    assert_eq!(got.problem(), (401, "unauthorized".to_owned(), vec![]));
    let challenges: Vec<_> = got.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges.iter().any(|one| one.as_bytes().starts_with(b"Basic ")));
    assert!(challenges.iter().any(|one| one.as_bytes().starts_with(b"Bearer ")));
    assert_eq!(as_key(&rig, &key.secret, "GET", "/v1/messages").await.status, StatusCode::OK);
    rig.spool.remove_key(&key.id).await.unwrap();
    rig.access.refresh().await.unwrap();
    assert_eq!(rig.get("/v1/messages").await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_scope_opens_what_it_names_and_admin_may_read() {
    let key = |scope: Scope| ConfiguredKey::new(scope.as_str(), scope.as_str(), &[scope]).unwrap();
    let rig = Rig::with(Memory::new(), Scope::ALL.map(key).to_vec(), 1 << 20).await;
    rig.sandbox("sandbox-a");
    for (method, path, send, read, admin) in [
        ("POST", "/v1/messages", 202, 403, 403),
        ("GET", "/v1/messages", 403, 200, 200),
        ("GET", "/v1/messages/x", 403, 404, 404),
        ("GET", "/v1/providers", 403, 200, 200),
        ("GET", "/v1/providers/sandbox-a/mailbox", 403, 200, 200),
        ("GET", "/v1/audit", 403, 200, 200),
        ("GET", "/v1/agents", 403, 200, 200),
        ("POST", "/v1/providers/sandbox-a/drain", 403, 403, 200),
        ("POST", "/v1/providers/sandbox-a/resume", 403, 403, 200),
        ("POST", "/v1/agents", 403, 403, 422),
        ("DELETE", "/v1/agents/x", 403, 403, 404),
        ("GET", "/v1/nothing", 403, 404, 404),
    ] {
        for (secret, status) in [("send", send), ("read", read), ("admin", admin)] {
            let got = as_key(&rig, secret, method, path).await;
            assert_eq!(got.status, status, "{method} {path} with {secret}: {}", got.text);
        }
        let got = as_key(&rig, "guessed", method, path).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}

#[tokio::test]
async fn a_key_is_taken_as_bearer_and_as_basic_password() {
    let key = ConfiguredKey::new("shop", "secret:with colon", &[Scope::Read]).unwrap();
    let rig = Rig::with(Memory::new(), vec![key], 1 << 20).await;
    for (authorization, status) in [
        ("Bearer secret:with colon", 200),
        ("bearer secret:with colon", 200),
        // any:secret:with colon
        ("Basic YW55OnNlY3JldDp3aXRoIGNvbG9u", 200),
        // :secret:with colon
        ("basic OnNlY3JldDp3aXRoIGNvbG9u", 200),
        // secret:with colon, which has the user name where the secret begins
        ("Basic c2VjcmV0OndpdGggY29sb24=", 401),
        ("Basic %%%", 401),
        ("Digest secret", 401),
        ("secret:with colon", 401),
        ("Bearer ", 401),
        ("Bearer secret", 401),
    ] {
        let headers = [("authorization", authorization)];
        let got = rig.call("GET", "/v1/messages", &headers, "").await;
        assert_eq!(got.status, status, "{authorization}");
    }
}

#[tokio::test]
async fn a_browser_that_remembers_the_key_can_not_be_used_by_a_foreign_page() {
    let key = ConfiguredKey::new("shop", "secret", &[Scope::Send]).unwrap();
    let rig = Rig::with(Memory::new(), vec![key], 1 << 20).await;
    let post = async |name, value| {
        let headers =
            [JSON, ("host", "mail.example.com"), ("authorization", "Bearer secret"), (name, value)];
        rig.call("POST", "/v1/messages", &headers, message().to_string()).await.status
    };
    assert_eq!(post("origin", "https://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(post("sec-fetch-site", "cross-site").await, StatusCode::FORBIDDEN);
    assert_eq!(post("origin", "https://mail.example.com").await, StatusCode::ACCEPTED);
    assert_eq!(post("user-agent", "curl").await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_holds_no_secret_needs_no_key_and_no_loopback_host() {
    let key = ConfiguredKey::new("shop", "secret", &[Scope::Send]).unwrap();
    let rig = Rig::with(Memory::new(), vec![key], 1 << 20).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let got = rig.call("GET", path, &[("host", "10.1.2.3:8525")], "").await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_keys_secret_is_kept_nowhere_and_shown_by_no_debug() {
    let rig = Rig::new().await;
    let key = keys::create(rig.spool.as_ref(), "shop", &[Scope::Send]).await.unwrap();
    assert!(key.secret.starts_with("shk_"));
    let kept = format!("{:?}", rig.spool.shelf(shivneri_spool::Shelf::Keys).await.unwrap());
    let configured = ConfiguredKey::new("shop", &key.secret, &[Scope::Send]).unwrap();
    for text in [kept, format!("{key:?}"), format!("{configured:?}"), format!("{:?}", rig.access)] {
        assert!(!text.contains(&key.secret), "{text}");
    }
}

#[tokio::test]
async fn a_key_that_could_own_nothing_or_allow_nothing_is_refused() {
    let spool = Memory::new();
    for name in ["", "anonymous", "a\nb", &"x".repeat(65)] {
        assert!(keys::create(spool.as_ref(), name, &[Scope::Send]).await.is_err(), "{name:?}");
        assert!(ConfiguredKey::new(name, "secret", &[Scope::Send]).is_err(), "{name:?}");
    }
    assert!(keys::create(spool.as_ref(), "shop", &[]).await.is_err());
    assert!(ConfiguredKey::new("shop", "", &[Scope::Send]).is_err());
    assert!(spool.keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_for_some_domains_sends_from_no_other() {
    let key = |secret: &str, domain: &str| {
        let key = ConfiguredKey::new("shop", secret, &[Scope::Send]).unwrap();
        key.with_domains(vec![domain.to_owned()])
    };
    let keys = vec![key("own", "EXAMPLE.com"), key("foreign", "example.net")];
    let rig = Rig::with(Memory::new(), keys, 1 << 20).await;
    assert_eq!(as_key(&rig, "own", "POST", "/v1/messages").await.status, StatusCode::ACCEPTED);
    let got = as_key(&rig, "foreign", "POST", "/v1/messages").await;
    assert_eq!(got.problem(), (403, "sender_not_allowed".to_owned(), vec![]));
}

#[tokio::test]
async fn a_kept_keys_domains_hold_too() {
    let spool = Memory::new();
    let made = keys::create(spool.as_ref(), "shop", &[Scope::Send]).await.unwrap();
    let kept = spool.keys().await.unwrap().pop().unwrap();
    let narrowed = ApiKey { domains: Some(vec!["example.net".to_owned()]), ..kept };
    spool.put_key(&narrowed).await.unwrap();
    let rig = Rig::over(spool).await;
    let got = as_key(&rig, &made.secret, "POST", "/v1/messages").await;
    assert_eq!(got.problem().1, "sender_not_allowed");
}

#[tokio::test]
async fn mail_belongs_to_the_key_it_came_with_at_any_page_behind_the_layer() {
    let key = ConfiguredKey::new("shop", "secret", &[Scope::Send]).unwrap();
    let mut rig = Rig::with(Memory::new(), vec![key], 1 << 20).await;
    let submit: std::sync::Arc<dyn Submit> = rig.submission.clone();
    let compose = async move || {
        let draft = shivneri_core::draft::Draft {
            from: Some("asha@example.com".into()),
            to: vec!["b@example.org".into()],
            text: Some("hi".to_owned()),
            ..Default::default()
        };
        submit.submit(draft, Door::Http).await.unwrap().id.to_string()
    };
    let page = Router::new().route("/compose", get(compose)).layer(rig.access.layer(Scope::Send));
    rig.router = rig.router.merge(page);
    assert_eq!(rig.get("/compose").await.status, StatusCode::UNAUTHORIZED);
    let id = as_key(&rig, "secret", "GET", "/compose").await.text;
    let record = rig.spool.get(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.summary.owner, "shop");
}

#[tokio::test]
async fn beyond_loopback_nobody_comes_in_without_a_key() {
    let spool = Memory::new();
    let access = Access::load(spool.clone(), Vec::new(), false).await.unwrap();
    let rig = Rig::behind(spool, access, 1 << 20);
    assert_eq!(rig.get("/v1/messages").await.status, StatusCode::UNAUTHORIZED);
    let key = ConfiguredKey::new("ops", "secret", &[Scope::Read]).unwrap();
    rig.access.reconfigure(vec![key]);
    assert_eq!(as_key(&rig, "secret", "GET", "/v1/messages").await.status, StatusCode::OK);
    rig.access.reconfigure(Vec::new());
    let got = as_key(&rig, "secret", "GET", "/v1/messages").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
}
