//! Where a request comes from, as far as a browser tells.
//!
//! A page of a foreign site can make a browser send requests here, with the key that the browser
//! remembers, or to an open loopback. It can't forge `Host`, `Origin` or `Sec-Fetch-Site`.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Method, header};

/// Host and port of an authority, `None` where it is none.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            (&authority[..inner.len() + 2], after)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if port.is_empty() => None,
        None => return None,
    };
    if host.is_empty() { None } else { Some((host, port)) }
}

fn is_loopback(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// An origin's host and port, the scheme's own port where none is named.
fn origin_of(text: &str) -> Option<(&str, u16)> {
    let (default, rest) = match text.split_once("://")? {
        ("http", rest) => (80, rest),
        ("https", rest) => (443, rest),
        _ => return None,
    };
    let (host, port) = host_and_port(rest)?;
    Some((host, port.unwrap_or(default)))
}

fn origin_header(headers: &HeaderMap) -> Option<&str> {
    // An origin that is no text is like an unknown one: it matches nothing.
    headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null"))
}

/// Without keys, only the machine's own programs and pages may come: a foreign site whose name
/// was pointed at this address (DNS rebinding) gives itself away by its `Host`.
///
/// # Errors
///
/// Says which header is foreign.
pub(super) fn check_loopback(authority: Option<&str>, headers: &HeaderMap) -> Result<(), String> {
    let authority = authority.unwrap_or_default();
    let Some((_, port)) = host_and_port(authority).filter(|(host, _)| is_loopback(host)) else {
        return Err(format!(
            "without an API key, Host must be localhost or a loopback address, and is {:?}",
            shorten(authority)
        ));
    };
    let Some(origin) = origin_header(headers) else { return Ok(()) };
    match origin_of(origin) {
        Some((host, own)) if is_loopback(host) && same_port(origin, own, port) => Ok(()),
        _ => Err(format!(
            "without an API key, Origin must be this server's own, and is {:?}",
            shorten(origin)
        )),
    }
}

/// A browser's request that changes something must come from one of the server's own pages.
///
/// # Errors
///
/// Says which header is foreign.
pub(super) fn check_same_site(
    method: &Method,
    authority: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), String> {
    if method.is_safe() {
        return Ok(());
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err("the request comes from a page of another site (Sec-Fetch-Site)".to_owned()),
        };
    }
    let Some(origin) = origin_header(headers) else { return Ok(()) };
    let own = authority.and_then(host_and_port);
    match (origin_of(origin), own) {
        (Some((host, port)), Some((own_host, own_port)))
            if host.eq_ignore_ascii_case(own_host) && same_port(origin, port, own_port) =>
        {
            Ok(())
        }
        _ => Err(format!("the request comes from the foreign origin {:?}", shorten(origin))),
    }
}

/// Whether an origin's port is the one that `Host` names, or leaves out as the scheme's own.
fn same_port(origin: &str, port: u16, host_port: Option<u16>) -> bool {
    let default = if origin.starts_with("https:") { 443 } else { 80 };
    port == host_port.unwrap_or(default)
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_loopback_hosts_of_any_port_pass_without_a_key() {
        for good in
            ["localhost", "LOCALHOST:8525", "127.0.0.1:8525", "127.9.9.9", "[::1]:1", "[::1]"]
        {
            assert_eq!(check_loopback(Some(good), &headers(&[])), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "evil.example:8525",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:x",
            "[::2]",
            "[::1",
            "[::1]x",
            "::1",
            "10.0.0.1",
            "user@localhost",
            "2130706433",
        ] {
            assert!(check_loopback(Some(bad), &headers(&[])).is_err(), "{bad}");
        }
        assert!(check_loopback(None, &headers(&[])).is_err());
    }

    #[test]
    fn a_foreign_origin_is_refused_on_an_open_loopback() {
        let check =
            |origin| check_loopback(Some("127.0.0.1:8525"), &headers(&[("origin", origin)]));
        for good in ["http://127.0.0.1:8525", "http://localhost:8525", "http://[::1]:8525"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "null",
            "http://localhost",
            "http://localhost:3000",
            "https://evil.example:8525",
            "file://localhost:8525",
            "http://127.0.0.1:8525.evil.example",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_browser_sends_must_come_from_the_own_pages() {
        let host = Some("mail.example.com");
        let check = |pairs: &[(&'static str, &str)]| {
            check_same_site(&Method::POST, host, &headers(pairs)).is_ok()
        };
        assert!(check(&[]));
        assert!(check(&[("sec-fetch-site", "same-origin")]));
        assert!(check(&[("sec-fetch-site", "none")]));
        assert!(check(&[("origin", "https://mail.example.com")]));
        assert!(check(&[("origin", "http://mail.example.com:80")]));
        assert!(!check(&[("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("sec-fetch-site", "same-site"), ("origin", "https://mail.example.com")]));
        assert!(!check(&[("origin", "https://mail.example.com:8443")]));
        assert!(!check(&[("origin", "https://www.example.com")]));
        assert!(!check(&[("origin", "null")]));
        let foreign = headers(&[("sec-fetch-site", "cross-site"), ("origin", "https://a.example")]);
        assert_eq!(check_same_site(&Method::GET, host, &foreign), Ok(()));
    }
}
