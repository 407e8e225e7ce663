//! What a provider can carry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Email;

/// What a provider can carry. The default is what an HTTP API usually takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Recipients one call may have at most.
    pub max_recipients: usize,
    /// Size in bytes that an email may have at most, as [`Email::size`] counts.
    pub max_bytes: u64,
    /// Takes a whole MIME message.
    pub raw_mime: bool,
    /// Takes recipients apart from the headers.
    pub envelope: bool,
    /// Takes an idempotency key: the same key twice within [`key_life`](Self::key_life) sends once.
    pub idempotent: bool,
    /// How long a key is remembered for certain, counted from the first request with it; a minute
    /// by default. Means nothing without [`idempotent`](Self::idempotent).
    pub key_life: Duration,
    /// Can be asked whether an attempt went out.
    pub lookup: bool,
    /// Carries addresses with a local part beyond ASCII (RFC 6531).
    pub smtputf8: bool,
    /// Carries attachments that the HTML names by content id.
    pub inline_attachments: bool,
    /// Sender domains verified there, lower case; absent: any.
    pub domains: Option<Vec<String>>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            max_recipients: 1000,
            max_bytes: 25 << 20,
            raw_mime: false,
            envelope: false,
            idempotent: false,
            key_life: Self::DEFAULT_KEY_LIFE,
            lookup: false,
            smtputf8: false,
            inline_attachments: true,
            domains: None,
        }
    }
}

impl Capabilities {
    /// How long a key lives where nothing else is said.
    pub const DEFAULT_KEY_LIFE: Duration = Duration::from_secs(60);

    /// Why this email can't be carried, or `None` where it can.
    pub fn refusal(&self, email: &Email) -> Option<String> {
        let recipients = email.envelope().recipients().len();
        if recipients > self.max_recipients {
            return Some(format!("{recipients} recipients, {} at most", self.max_recipients));
        }
        let size = email.size();
        if size > self.max_bytes {
            return Some(format!("{size} bytes, {} at most", self.max_bytes));
        }
        if email.needs_envelope() && !self.envelope {
            return Some("takes no recipients apart from the headers".into());
        }
        if email.needs_smtputf8() && !self.smtputf8 {
            return Some("carries no address beyond ASCII".into());
        }
        if !self.inline_attachments && email.attachments().iter().any(|a| a.content_id().is_some())
        {
            return Some("carries no inline attachments".into());
        }
        let domain = email.from().address().domain().to_lowercase();
        match &self.domains {
            Some(domains) if !domains.contains(&domain) => {
                Some(format!("the sender domain {domain} is not verified there"))
            }
            Some(_) | None => None,
        }
    }

    /// What both can carry.
    pub fn intersect(&self, other: &Self) -> Self {
        let domains = match (&self.domains, &other.domains) {
            (Some(ours), Some(theirs)) => {
                Some(ours.iter().filter(|domain| theirs.contains(domain)).cloned().collect())
            }
            (one, two) => one.clone().or_else(|| two.clone()),
        };
        Self {
            max_recipients: self.max_recipients.min(other.max_recipients),
            max_bytes: self.max_bytes.min(other.max_bytes),
            raw_mime: self.raw_mime && other.raw_mime,
            envelope: self.envelope && other.envelope,
            idempotent: self.idempotent && other.idempotent,
            key_life: self.key_life.min(other.key_life),
            lookup: self.lookup && other.lookup,
            smtputf8: self.smtputf8 && other.smtputf8,
            inline_attachments: self.inline_attachments && other.inline_attachments,
            domains,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(from: &str, to: &str) -> Email {
        Email::builder(from.parse().unwrap()).to(to.parse().unwrap()).text("x").build().unwrap()
    }

    #[test]
    fn what_can_not_be_carried_is_refused_with_its_reason() {
        let mail = email("a@example.com", "b@example.org");
        let all = Capabilities::default();
        assert_eq!(all.refusal(&mail), None);
        let refusal = |narrow: Capabilities| narrow.refusal(&mail).unwrap_or_default();
        assert!(refusal(Capabilities { max_recipients: 0, ..all.clone() }).contains("recipients"));
        assert!(refusal(Capabilities { max_bytes: 10, ..all.clone() }).contains("bytes"));
        let domains = Some(vec!["example.net".to_owned()]);
        assert!(refusal(Capabilities { domains, ..all.clone() }).contains("example.com"));
        assert!(all.refusal(&email("a@b.c", "用户@b.c")).is_some());
    }

    #[test]
    fn two_agents_offer_what_both_can() {
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let one =
            Capabilities { domains: some(&["a", "b"]), idempotent: true, ..Default::default() };
        let two = Capabilities { domains: some(&["b"]), max_bytes: 7, ..Default::default() };
        let both = one.intersect(&two);
        assert_eq!((both.domains, both.max_bytes, both.idempotent), (some(&["b"]), 7, false));
    }
}
