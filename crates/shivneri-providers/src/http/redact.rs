//! Answers made fit to be kept: without secrets and without addresses.

use crate::settings::Secret;

/// Takes out what an answer must not show.
#[derive(Debug)]
pub(crate) struct Redact {
    secrets: Vec<Secret>,
}

impl Redact {
    /// Takes these secrets out, and everything that looks like an email address.
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: secrets.into_iter().collect() }
    }

    /// The text with `***` for each secret and `<address>` for each address.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), "***");
            }
        }
        without_addresses(&text)
    }
}

/// The forms an `@` takes: plain, in a URL, in HTML, in JSON that escapes it.
const AT: [&str; 4] = ["@", "%40", "&#64;", "\\u0040"];

fn without_addresses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, length)) = next_at(rest) {
        let before = &rest[..at];
        let local = before.trim_end_matches(is_local);
        let after = &rest[at + length..];
        let end = after.find(|c| !is_domain(c)).unwrap_or(after.len());
        let quoted = before.ends_with('"') && before.len() > 1;
        if end == 0 || (local.len() == before.len() && !quoted) {
            kept.push_str(&rest[..at + length]);
            rest = after;
            continue;
        }
        kept.push_str(if quoted { unquoted(before) } else { local });
        kept.push_str("<address>");
        rest = &after[end..];
    }
    kept.push_str(rest);
    kept
}

fn next_at(text: &str) -> Option<(usize, usize)> {
    AT.iter().filter_map(|form| text.find(form).map(|at| (at, form.len()))).min()
}

/// What stands before a quoted local part, `"odd name"`.
fn unquoted(before: &str) -> &str {
    let inner = &before[..before.len() - 1];
    inner.rfind('"').map_or(inner, |start| &inner[..start])
}

fn is_local(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || (!c.is_ascii() && !c.is_whitespace()) || ".-".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redact(text: &str) -> String {
        Redact::new([Secret::new("SG.canary")]).apply(text)
    }

    #[test]
    fn addresses_and_secrets_are_taken_out() {
        for (answer, kept) in [
            ("the key SG.canary is wrong", "the key *** is wrong"),
            ("asha@example.com is not verified", "<address> is not verified"),
            ("to: <a.b+c@example.co.uk>, d@e.f", "to: <<address>>, <address>"),
            (r#"{"to":"用户@例子.公司"}"#, r#"{"to":"<address>"}"#),
            ("(asha%40example.com)&x", "(<address>)&x"),
            (r"asha\u0040example.com", "<address>"),
            (r#"for "odd name"@example.com here"#, "for <address> here"),
            ("meet @ noon, 5@", "meet @ noon, 5@"),
        ] {
            assert_eq!(redact(answer), kept, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn no_plain_address_gets_through(
            before in "[^@]{0,20}",
            local in "[a-z0-9.+_-]{1,10}",
            domain in "[a-z0-9-]{1,10}\\.[a-z]{2,5}",
            after in "\\PC{0,20}",
        ) {
            let address = format!("{local}@{domain}");
            let kept = redact(&format!("{before} {address} {after}"));
            prop_assert!(!kept.contains(&address), "{kept}");
        }
    }
}
