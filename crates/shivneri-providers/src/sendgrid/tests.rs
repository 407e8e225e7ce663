use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use shivneri_core::Fault;
use shivneri_testkit::{
    Reply as Served,
    contract::{self, Case, Expect, RECIPIENTS, Subject},
};

use shivneri_core::{Failure, Scope};

use super::*;
use crate::{http::Reply, sample};

fn body(email: &Email, test_mode: bool) -> Value {
    serde_json::from_slice(&request::build(email, test_mode).unwrap().body).unwrap()
}

#[test]
fn everything_an_email_has_is_in_the_request() {
    let request = request::build(&sample::rich(), false).unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v3/mail/send"));
    assert_eq!(
        body(&sample::rich(), false),
        json!({
            "personalizations": [{
                "to": [
                    { "email": "asha@example.org", "name": "\"Rao, Asha\"" },
                    { "email": "li@xn--fsqu00a.example", "name": "李" },
                ],
                "cc": [{ "email": "cc@example.org" }],
                "bcc": [{ "email": "hidden@example.org" }],
            }],
            "from": { "email": "j@xn--bcher-kva.example", "name": "Jürgen" },
            "reply_to_list": [
                { "email": "office@example.com", "name": "Büro" },
                { "email": "second@example.com" },
            ],
            "subject": "Rechnung für März",
            "content": [
                { "type": "text/plain", "value": "Hallo" },
                { "type": "text/html", "value": "<img src=\"cid:logo\">" },
            ],
            "attachments": [
                {
                    "content": "JVBERg==",
                    "type": "application/pdf",
                    "filename": "März.pdf",
                    "disposition": "attachment",
                },
                {
                    "content": "iVBORw==",
                    "type": "image/png",
                    "filename": "logo.png",
                    "disposition": "inline",
                    "content_id": "logo",
                },
            ],
            "headers": {
                "Message-ID": format!("<{}@xn--bcher-kva.example>", sample::ID),
                "X-Order": "42",
                "X-Ort": "=?utf-8?B?S8O2bG4=?=",
            },
            "categories": ["invoice", "march"],
            "custom_args": { "shivneri_id": sample::ID, "customer": "c-7", "note": "ä b" },
        })
    );
}

#[test]
fn a_single_address_for_answers_and_the_test_mode_have_their_own_keys() {
    let email = Email::builder(sample::mailbox("a@example.com"))
        .to(sample::mailbox("b@example.org"))
        .reply_to(sample::mailbox("c@example.com"))
        .html("<p>x</p>")
        .build()
        .unwrap();
    let body = body(&email, true);
    assert_eq!(body["reply_to"], json!({ "email": "c@example.com" }));
    assert_eq!(body["mail_settings"], json!({ "sandbox_mode": { "enable": true } }));
    assert_eq!(body["content"], json!([{ "type": "text/html", "value": "<p>x</p>" }]));
    assert_eq!(body["subject"], " ");
}

#[test]
fn hidden_recipients_alone_do_not_see_one_another() {
    let body = body(&sample::hidden(&["one@example.org", "two@example.org"]), false);
    assert_eq!(
        body["personalizations"],
        json!([
            { "to": [{ "email": "one@example.org" }] },
            { "to": [{ "email": "two@example.org" }] },
        ])
    );
}

#[test]
fn what_sendgrid_keeps_for_itself_is_left_to_other_providers() {
    let header = shivneri_core::Header::new("X-SG-EID", "1").unwrap();
    let email = Email::builder(sample::mailbox("a@example.com"))
        .to(sample::mailbox("b@example.org"))
        .text("x")
        .header(header)
        .build()
        .unwrap();
    assert_eq!(*request::build(&email, false).unwrap_err().failure(), Failure::Unsupported);
}

proptest! {
    #[test]
    fn any_email_makes_the_same_request_each_time(email in sample::any_email()) {
        let (one, two) = (request::build(&email, false), request::build(&email, false));
        match (one, two) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(&one, &two);
                let body: Value = serde_json::from_slice(&one.body).unwrap();
                let mut seen = HashSet::new();
                for entry in body["personalizations"].as_array().unwrap() {
                    prop_assert!(!entry["to"].as_array().unwrap().is_empty());
                    for list in ["to", "cc", "bcc"] {
                        for party in entry[list].as_array().into_iter().flatten() {
                            let address = party["email"].as_str().unwrap().to_lowercase();
                            prop_assert!(seen.insert(address), "an address comes twice");
                        }
                    }
                }
                prop_assert!(body["custom_args"].to_string().len() <= 10_000);
                prop_assert!(body["categories"].as_array().is_none_or(|list| list.len() <= 10));
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
fn an_error_that_names_recipients_is_about_those_only() {
    let email = sample::rich();
    let entry =
        |field: &str| json!({ "message": "Does not contain a valid address.", "field": field });
    let errors = |fields: &[&str]| {
        let errors: Vec<Value> = fields.iter().map(|field| entry(field)).collect();
        let reply = Reply::sample(400, &json!({ "errors": errors }).to_string());
        answer::judge(&reply, &email, false).unwrap_err().failure().clone()
    };
    let recipients = |names: &[&str]| {
        let named = names.iter().map(|name| name.parse().unwrap()).collect();
        Failure::Rejected(Scope::Recipients(named))
    };
    let unexplained = Failure::Rejected(Scope::Unexplained);
    for (fields, failure) in [
        (&["personalizations.0.to.1.email"][..], recipients(&["li@例子.example"])),
        (
            &["personalizations.0.to.0.email", "personalizations.0.bcc.0.email"],
            recipients(&["asha@example.org", "hidden@example.org"]),
        ),
        (&["from.email"], Failure::Rejected(Scope::Message)),
        (&["personalizations.0.to.9.email"], unexplained.clone()),
        (&["personalizations.0.to.0.email", "subject"], unexplained.clone()),
        (&["categories"], unexplained.clone()),
        (&[], unexplained),
    ] {
        assert_eq!(errors(fields), failure, "{fields:?}");
    }
}

#[test]
fn the_sandbox_modes_200_is_an_acceptance_in_test_mode_only() {
    let email = sample::plain();
    let reply = Reply::sample(200, "");
    assert!(answer::judge(&reply, &email, true).is_ok());
    let doubt = answer::judge(&reply, &email, false).unwrap_err();
    assert_eq!(*doubt.failure(), Failure::InDoubt(shivneri_core::Doubt::Weak));
}

#[test]
fn the_reset_of_the_rate_limit_is_the_pause() {
    let reply = Reply::sample(429, "")
        .with("date", "Sun, 30 Aug 2015 12:36:00 GMT")
        .with("x-ratelimit-reset", "1440938180");
    let error = answer::judge(&reply, &sample::plain(), false).unwrap_err();
    let retry_after = Some(Duration::from_secs(20));
    assert_eq!(*error.failure(), Failure::Throttled { retry_after });
}

struct Api;

impl Subject for Api {
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
        let mut config = Config::new(Secret::new("SG.canary-key"));
        config.base_url = Some(base_url.into());
        Arc::new(SendGrid::new("sendgrid".parse().unwrap(), config).unwrap())
    }

    fn accepted(&self) -> Served {
        Served::empty(202).with_header("X-Message-Id", "14c5d75ce93.dfd.64b469")
    }

    fn accepted_id(&self) -> &str {
        "14c5d75ce93.dfd.64b469"
    }

    fn empty_success(&self) -> bool {
        true
    }

    fn table(&self) -> Vec<Case> {
        let errors = |status, message: &str, field: Option<&str>| {
            let errors =
                json!({ "errors": [{ "message": message, "field": field, "help": null }] });
            Served::json(status, errors.to_string())
        };
        let valid = "Does not contain a valid address.";
        vec![
            Case::new(
                "a bad recipient",
                errors(400, valid, Some("personalizations.0.to.0.email")),
                Expect::RejectedRecipients(vec![RECIPIENTS[0]]),
            ),
            Case::new(
                "a bad sender",
                errors(400, valid, Some("from.email")),
                Expect::RejectedMessage,
            ),
            Case::new(
                "a bad field",
                errors(400, "too many", Some("categories")),
                Expect::RejectedUnexplained,
            ),
            Case::new(
                "a wrong key",
                errors(401, "authorization required", None),
                Expect::AccountFault(Fault::Key),
            ),
            Case::new(
                "credits used up",
                errors(401, "Maximum credits exceeded", None),
                Expect::AccountFault(Fault::Quota),
            ),
            Case::new(
                "a sender that is not verified",
                errors(
                    403,
                    "The from address does not match a verified Sender Identity.",
                    Some("from"),
                ),
                Expect::AccountFault(Fault::Sender),
            ),
            Case::new(
                "no access",
                errors(403, "access forbidden", None),
                Expect::AccountFault(Fault::Key),
            ),
            Case::new(
                "a temporary block",
                errors(403, "Too many bad requests. Temporary block", None),
                Expect::Throttled(None),
            ),
            Case::new(
                "too large, from a proxy",
                Served::text(413, "<html>413 Request Entity Too Large</html>"),
                Expect::Unsupported,
            ),
            Case::new("failed", errors(500, "internal server error", None), Expect::Weak),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec!["SG.canary-key".into()]
    }

    fn probe_ok(&self) -> Served {
        Served::json(200, r#"{"scopes":["alerts.read","mail.send"]}"#)
    }
}

#[tokio::test]
async fn the_contract_of_providers_is_kept() {
    contract::run(&Api).await;
}

#[tokio::test]
async fn a_key_that_may_not_send_fails_the_probe() {
    let server = shivneri_testkit::FaultServer::start().await;
    server.reply_with(Served::json(200, r#"{"scopes":["alerts.read"]}"#));
    let error = Api.build(&server.url()).probe().await.unwrap_err();
    assert_eq!(*error.failure(), Failure::AccountFault(Fault::Key));
    let asked = server.next_request().await;
    assert_eq!((asked.method.as_str(), asked.path_only()), ("GET", "/v3/scopes"));
    assert_eq!(asked.header("authorization"), Some("Bearer SG.canary-key"));
    assert_eq!(asked.header("accept"), Some("application/json"));
}
