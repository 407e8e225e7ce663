//! Signature Version 4 of AWS.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//!
//! Written here on aws-lc-rs, the cryptography that TLS brings anyway: reqsign-aws-v4 reads the
//! clock itself outside its own tests, so that AWS's published vectors could not be put to it,
//! and it brings a second SHA-256 and an XML reader. The vectors are in this module's tests.

use std::{collections::BTreeMap, fmt::Write, time::SystemTime};

use aws_lc_rs::{digest, hmac};
use http::{HeaderName, HeaderValue, header};
use jiff::Timestamp;
use reqwest::Url;

use super::credentials::Credentials;
use crate::http::Request;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers that sign a request: its date, its token, and the authorization over these and
/// the headers it already has.
pub(super) fn headers(
    credentials: &Credentials,
    request: &Request,
    url: &Url,
    now: SystemTime,
) -> Vec<(HeaderName, HeaderValue)> {
    let when = stamp(now);
    let ascii = |text: &str| HeaderValue::from_str(text).expect("a stamp is visible ASCII");
    let mut signing = vec![(HeaderName::from_static("x-amz-date"), ascii(&when))];
    if let Some(token) = &credentials.session_token {
        let mut value = HeaderValue::from_str(token.expose())
            .expect("a token that no header can carry was refused at the start");
        value.set_sensitive(true);
        signing.push((HeaderName::from_static("x-amz-security-token"), value));
    }
    let mut signed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = request.headers.iter().chain(signing.iter().map(|(name, value)| (name, value)));
    for (name, value) in all {
        let value = String::from_utf8_lossy(value.as_bytes());
        signed.entry(name.as_str().to_owned()).or_default().push(single_spaced(&value));
    }
    signed.insert("host".into(), vec![host(url)]);
    let canonical = canonical_request(request, url, &signed);
    let scope =
        format!("{}/{}/{}/aws4_request", &when[..8], credentials.region, credentials.service);
    let to_sign = format!("{ALGORITHM}\n{when}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let signature = hex(signature(credentials, &when[..8], &to_sign).as_ref());
    let names = signed.keys().cloned().collect::<Vec<_>>().join(";");
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    );
    let mut authorization = ascii(&authorization);
    authorization.set_sensitive(true);
    signing.push((header::AUTHORIZATION, authorization));
    signing
}

fn canonical_request(
    request: &Request,
    url: &Url,
    signed: &BTreeMap<String, Vec<String>>,
) -> String {
    let mut text = format!("{}\n{}\n{}\n", request.method, path(url), query(url));
    for (name, values) in signed {
        writeln!(text, "{name}:{}", values.join(",")).expect("a String takes all");
    }
    let names = signed.keys().cloned().collect::<Vec<_>>().join(";");
    write!(text, "\n{names}\n{}", sha256(&request.body)).expect("a String takes all");
    text
}

/// The path as it is sent, with each segment encoded once more.
fn path(url: &Url) -> String {
    url.path().split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// The query's pairs, sorted by octets.
fn query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (encode(&key), encode(&value))).collect();
    pairs.sort();
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all");
        }
    }
    encoded
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The `Host` header as the client writes it: with the port where it is not the scheme's own.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn signature(credentials: &Credentials, day: &str, to_sign: &str) -> hmac::Tag {
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    };
    let first = format!("AWS4{}", credentials.secret_access_key.expose());
    let day = sign(first.as_bytes(), day);
    let region = sign(day.as_ref(), &credentials.region);
    let service = sign(region.as_ref(), credentials.service);
    let key = sign(service.as_ref(), "aws4_request");
    sign(key.as_ref(), to_sign)
}

/// `20150830T123600Z`.
fn stamp(now: SystemTime) -> String {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

#[cfg(test)]
mod tests;
