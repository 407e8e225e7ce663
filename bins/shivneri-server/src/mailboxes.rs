//! Where the sandboxes' mailboxes are.

use std::{collections::BTreeMap, sync::Arc};

use shivneri_core::{ProviderId, Registry};
use shivneri_ingress::{MailboxAnswer, Mailboxes};
use shivneri_providers::sandbox::Mailbox;

const SANDBOX: &str = "sandbox";

/// The mailboxes of this process's sandboxes.
#[derive(Debug)]
pub(crate) struct HostedMailboxes {
    pub(crate) hosted: BTreeMap<ProviderId, Mailbox>,
    pub(crate) registry: Arc<Registry>,
}

impl Mailboxes for HostedMailboxes {
    fn mailbox(&self, provider: &ProviderId) -> MailboxAnswer {
        if let Some(mailbox) = self.hosted.get(provider) {
            return MailboxAnswer::Here(mailbox.list(usize::MAX));
        }
        let at_an_agent = self
            .registry
            .views()
            .iter()
            .any(|view| view.id == *provider && view.remote && view.kind == SANDBOX);
        if at_an_agent { MailboxAnswer::Elsewhere } else { MailboxAnswer::NotASandbox }
    }
}
