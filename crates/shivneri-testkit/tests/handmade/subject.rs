//! What the suite is told of the handmade provider.

use std::sync::{Arc, Mutex};

use shivneri_core::{EmailProvider, Fault};
use shivneri_testkit::{
    Reply,
    contract::{Case, Expect, RECIPIENTS, Subject},
};

use super::{Flaw, Handmade, KEY};

pub(crate) struct HandmadeSubject(pub(crate) Flaw);

impl Subject for HandmadeSubject {
    fn build(&self, base_url: &str) -> Arc<dyn EmailProvider> {
        let host = base_url.strip_prefix("http://").expect("the suite speaks plain HTTP");
        let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let id = "handmade".parse().expect("a valid name");
        Arc::new(Handmade { id, authority, flaw: self.0, kept: Mutex::default() })
    }

    fn accepted(&self) -> Reply {
        Reply::json(202, r#"{"id":"m-1"}"#)
    }

    fn accepted_id(&self) -> &str {
        "m-1"
    }

    fn table(&self) -> Vec<Case> {
        let content = Reply::json(400, r#"{"error":"content"}"#);
        let recipient = Reply::json(400, r#"{"error":"first recipient"}"#);
        let not_taken = Reply::json(507, r#"{"error":"not taken"}"#);
        let fault = Expect::AccountFault(Fault::Quota);
        vec![
            Case::new("bad content", content, Expect::RejectedMessage),
            Case::new("bad recipient", recipient, Expect::RejectedRecipients(vec![RECIPIENTS[0]])),
            Case::new("quota", Reply::text(402, "pay"), fault),
            Case::new("out of space", not_taken, Expect::Unavailable),
            Case::new("a pause", Reply::empty(429), Expect::Throttled(None)),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.to_owned()]
    }

    fn probe_ok(&self) -> Reply {
        Reply::json(200, "{}")
    }
}
