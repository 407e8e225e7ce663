use proptest::prelude::*;
use serde_json::json;
use shivneri_core::Scope;
use shivneri_testkit::{
    FaultServer, Reply as Served,
    contract::{self, Case, Expect, RECIPIENTS, Subject},
};

use super::*;
use crate::{http::Reply, sample};

const PATH: &str = "/v3/mg.example.com/messages";

/// The parts of a form: the disposition without `form-data; `, the content type, the content.
fn parts(request: &Request) -> Vec<(String, Option<String>, String)> {
    let content_type = request.headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let body = body.strip_suffix(&format!("--{boundary}--\r\n")).unwrap();
    let part = |text: &str| {
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let disposition = lines.next().unwrap();
        let disposition = disposition.strip_prefix("Content-Disposition: form-data; ").unwrap();
        let kind = lines.next().map(|line| line.strip_prefix("Content-Type: ").unwrap().to_owned());
        (disposition.to_owned(), kind, content.strip_suffix("\r\n").unwrap().to_owned())
    };
    body.split(&format!("--{boundary}\r\n")).skip(1).map(part).collect()
}

fn fields(email: &Email, test_mode: bool) -> Vec<(String, String)> {
    let request = request::build(PATH, email, test_mode).unwrap();
    let field = |(disposition, _, content): (String, Option<String>, String)| {
        let name = disposition.strip_prefix("name=\"").and_then(|rest| rest.split('"').next());
        (name.unwrap().to_owned(), content)
    };
    parts(&request).into_iter().map(field).collect()
}

#[test]
fn everything_an_email_has_is_in_the_request() {
    let request = request::build(PATH, &sample::rich(), true).unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", PATH));
    let message_id = format!("<{}@xn--bcher-kva.example>", sample::ID);
    let texts = [
        ("from", "Jürgen <j@xn--bcher-kva.example>"),
        ("to", "\"Rao, Asha\" <asha@example.org>"),
        ("to", "李 <li@xn--fsqu00a.example>"),
        ("cc", "cc@example.org"),
        ("cc", "ASHA@example.org"),
        ("bcc", "hidden@example.org"),
        ("subject", "Rechnung für März"),
        ("text", "Hallo"),
        ("html", "<img src=\"cid:logo\">"),
        ("h:Message-Id", &message_id),
        ("h:Date", "Sun, 24 Nov 2024 12:00:00 +0000"),
        ("h:Reply-To", "Büro <office@example.com>, second@example.com"),
        ("h:X-Order", "42"),
        ("h:X-Ort", "=?utf-8?B?S8O2bG4=?="),
        ("o:testmode", "yes"),
        ("v:shivneri_id", sample::ID),
        ("o:tag", "invoice"),
        ("o:tag", "march"),
        ("v:customer", "c-7"),
        ("v:note", "ä b"),
    ];
    let mut expected: Vec<(String, Option<String>, String)> = texts
        .into_iter()
        .map(|(name, value)| (format!("name=\"{name}\""), None, value.to_owned()))
        .collect();
    expected.push((
        "name=\"attachment\"; filename=\"März.pdf\"".into(),
        Some("application/pdf".into()),
        "%PDF".into(),
    ));
    expected.push((
        "name=\"inline\"; filename=\"logo\"".into(),
        Some("image/png".into()),
        "\u{fffd}PNG".into(),
    ));
    assert_eq!(parts(&request), expected);
}

#[test]
fn hidden_recipients_alone_are_a_batch_in_which_none_sees_another() {
    let several = fields(&sample::hidden(&["one@example.org", "two@example.org"]), false);
    let has = |name: &str, value: &str| several.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("to", "one@example.org") && has("to", "two@example.org"));
    assert!(has("recipient-variables", r#"{"one@example.org":{},"two@example.org":{}}"#));
    let single = fields(&sample::hidden(&["one@example.org"]), false);
    assert!(single.iter().all(|(name, _)| name != "recipient-variables"));
}

#[test]
fn metadata_beyond_the_options_room_stays_at_home() {
    let mut builder = Email::builder(sample::mailbox("a@example.com"))
        .to(sample::mailbox("b@example.org"))
        .text("x");
    for n in 0..40 {
        builder = builder.metadata(format!("key-{n}"), "v".repeat(1000));
    }
    let fields = fields(&builder.build().unwrap(), false);
    let options = fields.iter().filter(|(name, _)| name.contains(':'));
    let size: usize = options.map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= 16 << 10, "{size}");
    assert!(fields.iter().any(|(name, _)| name == "v:shivneri_id"));
    assert!(fields.iter().filter(|(name, _)| name.starts_with("v:key-")).count() > 10);
}

proptest! {
    #[test]
    fn any_email_makes_the_same_request_each_time(email in sample::any_email()) {
        let build = || request::build(PATH, &email, false);
        match (build(), build()) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(&one, &two);
                let to = parts(&one).iter().filter(|part| part.0 == "name=\"to\"").count();
                prop_assert!(to > 0);
            }
            (Err(one), Err(two)) => {
                prop_assert_eq!(one.failure(), &Failure::Unsupported);
                prop_assert_eq!(one.detail(), two.detail());
            }
            (one, two) => prop_assert!(false, "{one:?} and {two:?}"),
        }
    }
}

#[test]
fn a_bad_address_condemns_the_recipient_it_must_be_and_no_other() {
    let reply = Reply::sample(
        400,
        r#"{"message":"to parameter is not a valid address. please check documentation"}"#,
    );
    let single = sample::plain();
    let error = answer::judge(&reply, &single).unwrap_err();
    let recipients = single.envelope().recipients().to_vec();
    assert_eq!(*error.failure(), Failure::Rejected(Scope::Recipients(recipients)));
    let error = answer::judge(&reply, &sample::rich()).unwrap_err();
    assert_eq!(*error.failure(), Failure::Rejected(Scope::Unexplained));
}

#[test]
fn the_pause_is_read_from_the_message() {
    for (after, seconds) in [
        ("120 seconds", Some(120)),
        ("1 second.", Some(1)),
        ("Mon, 20 Dec 2021 20:33:21 UTC", Some(81)),
        ("a while", None),
    ] {
        let message = format!(
            "Domain x is not allowed to send: request limit exceeded, try again after {after}"
        );
        let reply = Reply::sample(429, &json!({ "message": message }).to_string())
            .with("date", "Mon, 20 Dec 2021 20:32:00 GMT");
        let error = answer::judge(&reply, &sample::plain()).unwrap_err();
        let retry_after = seconds.map(Duration::from_secs);
        assert_eq!(*error.failure(), Failure::Throttled { retry_after }, "{after}");
    }
}

struct Api;

impl Subject for Api {
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
        let mut config = Config::new(Secret::new("key-canary"), "mg.example.com");
        config.base_url = Some(base_url.into());
        Arc::new(Mailgun::new("mailgun".parse().unwrap(), config).unwrap())
    }

    fn accepted(&self) -> Served {
        Served::json(200, r#"{"id":"<20261124.1@mg.example.com>","message":"Queued. Thank you."}"#)
    }

    fn accepted_id(&self) -> &str {
        "<20261124.1@mg.example.com>"
    }

    fn table(&self) -> Vec<Case> {
        let says =
            |status, message: &str| Served::json(status, json!({ "message": message }).to_string());
        let refused = |status, why: &str| {
            says(status, &format!("Domain mg.example.com is not allowed to send: {why}"))
        };
        let account = Expect::AccountFault;
        let free = "Free accounts are for test purposes only.";
        let dns = "The domain is unverified and requires DNS configuration.";
        let limit = "recipient limit exceeded, try again after 60 seconds";
        let minute = Some(Duration::from_secs(60));
        vec![
            Case::new(
                "the wrong place",
                Served::text(200, "Mailgun Magnificent API"),
                Expect::Weak,
            ),
            Case::new("a free account", refused(400, free), account(Fault::Suspended)),
            Case::new("the same as 403", refused(403, free), account(Fault::Suspended)),
            Case::new("no DNS", refused(400, dns), account(Fault::Sender)),
            Case::new("a limit", refused(429, limit), Expect::Throttled(minute)),
            Case::new("a limit as 420", refused(420, limit), Expect::Throttled(minute)),
            Case::new(
                "large batches",
                says(403, "Domain mg.example.com is not allowed to send large batches yet"),
                Expect::Unsupported,
            ),
            Case::new(
                "a bad sender",
                says(400, "'from' parameter is not a valid address. please check documentation"),
                Expect::RejectedMessage,
            ),
            Case::new(
                "one of several is bad",
                says(400, "to parameter is not a valid address. please check documentation"),
                if RECIPIENTS.len() > 1 {
                    Expect::RejectedUnexplained
                } else {
                    Expect::RejectedRecipients(RECIPIENTS.to_vec())
                },
            ),
            Case::new("other words", says(400, "something else"), Expect::RejectedUnexplained),
            Case::new("a wrong key", Served::text(401, "Forbidden"), account(Fault::Key)),
            Case::new("unpaid", says(402, "Payment required"), account(Fault::Quota)),
            Case::new(
                "a refused IP",
                says(403, "Rejected: IP 192.0.2.1 can’t be used to send the message"),
                account(Fault::Suspended),
            ),
            Case::new(
                "no such domain",
                says(404, "Domain not found: mg.example.com"),
                account(Fault::Sender),
            ),
            Case::new(
                "too large",
                says(413, "request size exceeds 52.4MiB limit"),
                Expect::Unsupported,
            ),
            Case::new("failed", says(500, "Internal Server Error"), Expect::Weak),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec!["key-canary".into(), STANDARD.encode("api:key-canary")]
    }

    fn probe_ok(&self) -> Served {
        Served::json(200, r#"{"items":[],"total_count":0}"#)
    }

    fn probe_faulted(&self) -> Served {
        Served::text(401, "Forbidden")
    }
}

#[tokio::test]
async fn the_contract_of_providers_is_kept() {
    contract::run(&Api).await;
}

#[tokio::test]
async fn a_sending_key_proves_itself_by_a_message_without_fields() {
    let server = FaultServer::start().await;
    server.script([
        Served::text(401, "Forbidden"),
        Served::json(400, r#"{"message":"from parameter is missing"}"#),
    ]);
    Api.build(&server.url()).probe().await.unwrap();
    let (first, second) = (server.next_request().await, server.next_request().await);
    assert_eq!((first.method.as_str(), first.path.as_str()), ("GET", "/v4/domains?limit=1"));
    let token = format!("Basic {}", STANDARD.encode("api:key-canary"));
    assert_eq!(first.header("authorization"), Some(token.as_str()));
    assert_eq!((second.method.as_str(), second.path.as_str()), ("POST", PATH));
    assert_eq!(second.text(), "--shivneri-probe--\r\n");
}
