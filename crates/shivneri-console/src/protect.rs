//! What browsers are told to forbid, and which forms are refused.

use axum::{
    http::{
        HeaderMap, HeaderValue, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};

/// Scripts, styles, pictures and connections from this server only; nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Puts the protecting headers on an answer.
pub(crate) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: with that, browsers post forms with `Origin: null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a form was posted by another site's page.
///
/// Browsers say so in `Sec-Fetch-Site`, and the older ones by an `Origin` that is not this
/// `Host`. What sends neither is no browser, and has no visitor whose rights could be abused.
pub(crate) fn is_cross_site(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) => !origin.eq_ignore_ascii_case(host),
        (None, _) | (_, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(name, value)| {
            (name.parse::<axum::http::HeaderName>().unwrap(), HeaderValue::from_static(value))
        });
        is_cross_site(&headers.collect(), &Uri::from_static("/compose"))
    }

    #[test]
    fn a_form_of_another_site_is_told_by_what_the_browser_says() {
        let host = ("host", "127.0.0.1:8525");
        for (pairs, cross) in [
            (vec![host], false),
            (vec![host, ("sec-fetch-site", "same-origin")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], true),
            (vec![host, ("sec-fetch-site", "same-site")], true),
            (vec![host, ("origin", "http://127.0.0.1:8525")], false),
            (vec![host, ("origin", "http://127.0.0.1:80")], true),
            (vec![host, ("origin", "https://evil.example")], true),
            (vec![host, ("origin", "null")], true),
            (vec![("origin", "http://127.0.0.1:8525")], true),
        ] {
            assert_eq!(asked(&pairs), cross, "{pairs:?}");
        }
    }

    #[test]
    fn over_http_2_the_authority_stands_for_the_host() {
        let headers = [(ORIGIN, HeaderValue::from_static("https://mail.example"))];
        let uri = Uri::from_static("https://mail.example/compose");
        assert!(!is_cross_site(&headers.into_iter().collect(), &uri));
    }
}
