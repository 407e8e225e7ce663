//! AWS's published vectors: aws-sig-v4-test-suite, 2015-08-30T12:36:00Z, us-east-1, `service`.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::*;
use crate::Secret;

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: session_token.map(Secret::new),
        region: "us-east-1".into(),
        service: "service",
    }
}

/// 2015-08-30T12:36:00Z.
fn then() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)
}

fn request(method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
    let mut request = Request::get(path);
    request.method = method;
    request.body = Bytes::copy_from_slice(body.as_bytes());
    for (name, value) in headers {
        request.headers.append(*name, value.parse().unwrap());
    }
    request
}

fn sign(credentials: &Credentials, request: &Request) -> String {
    let url = Url::parse(&format!("https://example.amazonaws.com{}", request.path)).unwrap();
    let headers = headers(credentials, request, &url, then());
    let authorization = headers.iter().find(|(name, _)| *name == header::AUTHORIZATION).unwrap();
    authorization.1.to_str().unwrap().to_owned()
}

fn expected(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    )
}

#[test]
fn the_published_vectors_are_met() {
    let (get, post) = (Method::GET, Method::POST);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (name, request, signed, signature) in [
        (
            "get-vanilla",
            request(get.clone(), "/", &[], ""),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-vanilla-query-order-key-case",
            request(get.clone(), "/?Param2=value2&Param1=value1", &[], ""),
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-unreserved",
            request(
                get.clone(),
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[],
                "",
            ),
            "host;x-amz-date",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (
            "get-header-value-trim",
            request(get, "/", &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")], ""),
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-vanilla",
            request(post.clone(), "/", &[], ""),
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-x-www-form-urlencoded",
            request(post, "/", &form, "Param1=value1"),
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        assert_eq!(sign(&credentials(None), &request), expected(signed, signature), "{name}");
    }
}

#[test]
fn a_temporary_key_signs_its_token_too() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwA\
                 eMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8ph\
                 UZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38\
                 xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj\
                 2ICCR/oLxBA==";
    let request = request(Method::POST, "/", &[], "");
    assert_eq!(
        sign(&credentials(Some(token)), &request),
        expected(
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        )
    );
}

#[test]
fn a_port_belongs_to_the_host_that_is_signed() {
    let url = |text| Url::parse(text).unwrap();
    assert_eq!(host(&url("http://127.0.0.1:8525/x")), "127.0.0.1:8525");
    assert_eq!(
        host(&url("https://email.eu-west-1.amazonaws.com:443/")),
        "email.eu-west-1.amazonaws.com"
    );
}
