use proptest::prelude::*;
use serde_json::{Value, json};
use shivneri_core::{Failure, Fault, Header};
use shivneri_testkit::{
    FaultServer, Reply as Served,
    contract::{self, Case, Expect, Subject},
};

use super::*;
use crate::sample;

fn body(email: &Email) -> Value {
    serde_json::from_slice(&request::build(email).unwrap().body).unwrap()
}

#[test]
fn everything_an_email_has_is_in_the_request() {
    let request = request::build(&sample::rich()).unwrap();
    let call = (request.method.as_str(), request.path.as_str());
    assert_eq!(call, ("POST", "/v2/email/outbound-emails"));
    let text = |data: &str| json!({ "Data": data, "Charset": "UTF-8" });
    let pair = |name: &str, value: &str| json!({ "Name": name, "Value": value });
    assert_eq!(
        body(&sample::rich()),
        json!({
            "FromEmailAddress": "=?utf-8?B?SsO8cmdlbg==?= <j@xn--bcher-kva.example>",
            "Destination": {
                "ToAddresses": [
                    "\"Rao, Asha\" <asha@example.org>",
                    "=?utf-8?B?5p2O?= <li@xn--fsqu00a.example>",
                ],
                "CcAddresses": ["cc@example.org", "ASHA@example.org"],
                "BccAddresses": ["hidden@example.org"],
            },
            "ReplyToAddresses": [
                "=?utf-8?B?QsO8cm8=?= <office@example.com>",
                "second@example.com",
            ],
            "Content": { "Simple": {
                "Subject": text("Rechnung für März"),
                "Body": { "Text": text("Hallo"), "Html": text("<img src=\"cid:logo\">") },
                "Headers": [pair("X-Order", "42"), pair("X-Ort", "=?utf-8?B?S8O2bG4=?=")],
                "Attachments": [
                    {
                        "RawContent": "JVBERg==",
                        "ContentDisposition": "ATTACHMENT",
                        "FileName": "März.pdf",
                        "ContentTransferEncoding": "BASE64",
                        "ContentType": "application/pdf",
                    },
                    {
                        "RawContent": "iVBORw==",
                        "ContentDisposition": "INLINE",
                        "FileName": "logo.png",
                        "ContentId": "logo",
                        "ContentTransferEncoding": "BASE64",
                        "ContentType": "image/png",
                    },
                ],
            }},
            "EmailTags": [
                pair("shivneri_id", sample::ID),
                pair("tag", "invoice"),
                pair("tag-2", "march"),
                pair("customer", "c-7"),
            ],
        })
    );
}

#[test]
fn hidden_recipients_alone_are_the_whole_destination() {
    let body = body(&sample::hidden(&["one@example.org", "two@example.org"]));
    let hidden = json!({ "BccAddresses": ["one@example.org", "two@example.org"] });
    assert_eq!(body["Destination"], hidden);
}

#[test]
fn what_ses_can_not_carry_is_left_to_other_providers() {
    let builder = || {
        let builder = Email::builder(sample::mailbox("a@example.com"));
        builder.to(sample::mailbox("b@example.org")).text("x")
    };
    let header = |name: &str, value: &str| Header::new(name, value).unwrap();
    let many = (0..16).fold(builder(), |b, n| b.header(header(&format!("X-{n}"), "1")));
    let long = builder().header(header("X-Long", &"x".repeat(1000)));
    let empty = builder().header(header("X-Empty", ""));
    let file = shivneri_core::Attachment::new("a", "image/png", "x".into()).unwrap();
    let id = builder().attachment(file.inline(&"x".repeat(79)).unwrap());
    for builder in [many, long, empty, id] {
        let error = request::build(&builder.build().unwrap()).unwrap_err();
        assert_eq!(*error.failure(), Failure::Unsupported);
    }
}

proptest! {
    #[test]
    fn any_email_makes_the_same_request_each_time(email in sample::any_email()) {
        match (request::build(&email), request::build(&email)) {
            (Ok(one), Ok(two)) => {
                prop_assert_eq!(&one, &two);
                let body: Value = serde_json::from_slice(&one.body).unwrap();
                let destination = body["Destination"].as_object().unwrap();
                let all = destination.values().flat_map(|list| list.as_array().unwrap());
                let all: Vec<&str> = all.map(|address| address.as_str().unwrap()).collect();
                prop_assert_eq!(all.len(), email.envelope().recipients().len());
                prop_assert!(all.iter().all(|address| address.is_ascii()));
                prop_assert!(body["EmailTags"].as_array().unwrap().len() <= 50);
            }
            (Err(one), Err(two)) => {
                prop_assert_eq!(one.failure(), &Failure::Unsupported);
                prop_assert_eq!(one.detail(), two.detail());
            }
            (one, two) => prop_assert!(false, "{one:?} and {two:?}"),
        }
    }
}

struct Api;

impl Subject for Api {
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
        let config = Config {
            access_key_id: Some("AKIDCANARY".into()),
            secret_access_key: Some(Secret::new("canary/secret")),
            session_token: Some(Secret::new("canary-token")),
            region: Some("eu-west-1".into()),
            base_url: Some(base_url.into()),
            ..Config::default()
        };
        Arc::new(Ses::new("ses".parse().unwrap(), config).unwrap())
    }

    fn accepted(&self) -> Served {
        Served::json(200, r#"{"MessageId":"0102018a-canary"}"#)
    }

    fn accepted_id(&self) -> &str {
        "0102018a-canary"
    }

    fn table(&self) -> Vec<Case> {
        let error = |status, kind: &str, message: &str| {
            Served::json(status, json!({ "message": message }).to_string())
                .with_header("x-amzn-ErrorType", kind)
        };
        let account = Expect::AccountFault;
        let in_body = r#"{"__type":"com.amazon.ses#SendingPausedException","message":"paused"}"#;
        vec![
            Case::new(
                "bad content",
                error(400, "MessageRejected", "Illegal content"),
                Expect::RejectedMessage,
            ),
            Case::new(
                "a sender that is not verified",
                error(400, "MessageRejected:", "Email address is not verified."),
                account(Fault::Sender),
            ),
            Case::new(
                "a domain that is not verified",
                error(400, "MailFromDomainNotVerifiedException", ""),
                account(Fault::Sender),
            ),
            Case::new(
                "a suspended account, with the error's home",
                error(400, "AccountSuspendedException:http://internal.amazon.com/coral/", ""),
                account(Fault::Suspended),
            ),
            Case::new("paused, in the body", Served::json(400, in_body), account(Fault::Paused)),
            Case::new("a limit", error(400, "LimitExceededException", ""), account(Fault::Quota)),
            Case::new(
                "the day's quota",
                error(429, "TooManyRequestsException", "Daily message quota exceeded."),
                account(Fault::Quota),
            ),
            Case::new(
                "too fast",
                error(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
                Expect::Throttled(None),
            ),
            Case::new(
                "throttled as 400",
                error(400, "ThrottlingException", "Rate exceeded"),
                Expect::Throttled(None),
            ),
            Case::new("not found", error(404, "NotFoundException", ""), account(Fault::Key)),
            Case::new(
                "bad input",
                error(400, "BadRequestException", "Local address contains control"),
                Expect::RejectedUnexplained,
            ),
            Case::new(
                "a wrong signature",
                error(403, "SignatureDoesNotMatch", ""),
                account(Fault::Key),
            ),
            Case::new("a key that expired", error(400, "ExpiredToken", ""), account(Fault::Key)),
            Case::new("too large", error(413, "RequestEntityTooLarge", ""), Expect::Unsupported),
            Case::new("failed", error(500, "InternalFailure", ""), Expect::Weak),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec!["canary/secret".into(), "canary-token".into()]
    }

    fn probe_ok(&self) -> Served {
        Served::json(200, r#"{"SendingEnabled":true,"EnforcementStatus":"HEALTHY"}"#)
    }

    fn probe_faulted(&self) -> Served {
        Served::json(403, r#"{"message":"The security token is invalid."}"#)
            .with_header("x-amzn-ErrorType", "UnrecognizedClientException")
    }
}

#[tokio::test]
async fn the_contract_of_providers_is_kept() {
    contract::run(&Api).await;
}

#[tokio::test]
async fn a_send_is_signed_for_the_host_it_goes_to() {
    let server = FaultServer::start().await;
    server.reply_with(Api.accepted());
    let email = sample::plain();
    let provider = Api.build(&server.url());
    provider.send(&email, &Attempt::single(&email, provider.id().clone())).await.unwrap();
    let sent = server.next_request().await;
    assert_eq!(sent.header("host"), Some(server.address().to_string().as_str()));
    let authorization = sent.header("authorization").unwrap();
    let scope = "/eu-west-1/ses/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDCANARY/"));
    assert!(authorization.contains(scope), "{authorization}");
    assert!(sent.header("x-amz-date").is_some_and(|date| date.ends_with('Z')));
}

#[tokio::test]
async fn a_probe_tells_a_paused_account_and_a_closed_one() {
    for (account, fault) in [
        (r#"{"SendingEnabled":false}"#, Fault::Paused),
        (r#"{"SendingEnabled":false,"EnforcementStatus":"SHUTDOWN"}"#, Fault::Suspended),
    ] {
        let server = FaultServer::start().await;
        server.reply_with(Served::json(200, account));
        let error = Api.build(&server.url()).probe().await.unwrap_err();
        assert_eq!(*error.failure(), Failure::AccountFault(fault));
        assert_eq!(server.next_request().await.path, "/v2/email/account");
    }
}
