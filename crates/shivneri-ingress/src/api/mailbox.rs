//! What a sandbox took.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use shivneri_core::{Attachment, EmailAddress, MessageId};
use shivneri_providers::sandbox::Taken;

use super::{
    Api, List, MailboxAnswer,
    extract::{Named, Parameters},
    providers,
    shown::{headers, texts},
    times::Shown,
};
use crate::problem::{Code, Problem};

#[derive(Debug, Serialize)]
struct Letter<'a> {
    message_id: MessageId,
    provider_message_id: &'a str,
    received_at: Shown,
    from: String,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    reply_to: Vec<String>,
    /// The envelope's, which may be some of those in the headers.
    recipients: &'a [EmailAddress],
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    attachments: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    filename: &'a str,
    content_type: &'a str,
    size: usize,
    content_id: Option<&'a str>,
    #[serde(serialize_with = "base64")]
    content: &'a [u8],
}

fn base64<S: Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(content, &STANDARD))
}

impl<'a> File<'a> {
    fn of(file: &'a Attachment) -> Self {
        Self {
            filename: file.filename(),
            content_type: file.content_type(),
            size: file.content().len(),
            content_id: file.content_id(),
            content: file.content(),
        }
    }
}

impl<'a> Letter<'a> {
    fn of(taken: &'a Taken) -> Self {
        let email = &taken.email;
        Self {
            message_id: taken.message_id,
            provider_message_id: &taken.provider_message_id,
            received_at: Shown(taken.received_at),
            from: email.from().to_string(),
            to: texts(email.to()),
            cc: texts(email.cc()),
            bcc: texts(email.bcc()),
            reply_to: texts(email.reply_to()),
            recipients: email.envelope().recipients(),
            subject: email.subject(),
            text: email.text(),
            html: email.html(),
            headers: headers(email),
            attachments: email.attachments().iter().map(File::of).collect(),
        }
    }
}

/// All that is kept, or the newest `limit`.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Parameters(pairs): Parameters,
) -> Result<Response, Problem> {
    let limit = limit(&pairs)?;
    let id = providers::known(&api, &id)?;
    let taken = match api.parts.mailboxes.mailbox(&id) {
        MailboxAnswer::Here(taken) => taken,
        MailboxAnswer::NotASandbox => {
            return Err(Problem::new(Code::NoMailbox, format!("{id} is no sandbox")));
        }
        MailboxAnswer::Elsewhere => {
            let detail = format!("{id} is served by agents, and its mailbox is with them");
            return Err(Problem::new(Code::MailboxElsewhere, detail));
        }
    };
    let data = taken.iter().take(limit).map(Letter::of).collect();
    Ok(Json(List { data }).into_response())
}

fn limit(pairs: &[(String, String)]) -> Result<usize, Problem> {
    match pairs {
        [] => Ok(usize::MAX),
        [(name, value)] if name == "limit" => {
            value.parse().map_err(|_| Problem::field("limit", "is not a number"))
        }
        [(name, _)] | [_, (name, _), ..] => {
            Err(Problem::field(name.as_str(), "is not known here, or there twice; there is limit"))
        }
    }
}
