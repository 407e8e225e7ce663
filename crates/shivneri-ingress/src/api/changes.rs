//! What people change about a message: calling it off, and sending it again.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http_body::Body as _;
use serde::Deserialize;
use shivneri_core::MessageId;
use shivneri_spool::{Change, Duplicates};

use super::{Api, compose, extract::Named, messages, shown::Message};
use crate::problem::{Code, Problem};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Again {
    accept_duplicate: Option<bool>,
}

/// Calls a message off, as long as nothing of it was perhaps sent.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    let id = messages::id(&id)?;
    let change = api.parts.spool.cancel(id, SystemTime::now()).await?;
    changed(&api, id, change).await
}

/// Sends what has failed again; what was perhaps sent only by the person's word.
pub(super) async fn requeue(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    request: Request,
) -> Result<Response, Problem> {
    let id = messages::id(&id)?;
    let (head, body) = request.into_parts();
    let wish = if body.size_hint().exact() == Some(0) {
        Again::default()
    } else {
        let held = api.bodies.json(&head.headers, body).await?;
        compose::object::<Again>(&held.bytes)?
    };
    let duplicates = match wish.accept_duplicate {
        Some(true) => Duplicates::Accept,
        Some(false) | None => Duplicates::Refuse,
    };
    let change = api.parts.spool.requeue(id, duplicates, SystemTime::now()).await?;
    changed(&api, id, change).await
}

/// The message as it is after the change, or why there was none.
async fn changed(api: &Api, id: MessageId, change: Change) -> Result<Response, Problem> {
    match change {
        Change::Done => {
            tracing::info!(message = %id, "changed by an operator's word");
            let record = api.parts.spool.get(id).await?;
            let record = record.ok_or_else(|| messages::unknown(&id.to_string()))?;
            Ok(Json(Message::of(&record)).into_response())
        }
        Change::NotFound => Err(messages::unknown(&id.to_string())),
        Change::Refused { status, reason } => {
            let detail = format!("the message is {}: {reason}", status.as_str());
            Err(Problem::new(Code::MessageState, detail))
        }
        Change::Gone => {
            let detail = "the message's body is past retention, so it can't be sent again";
            Err(Problem::new(Code::PastRetention, detail))
        }
    }
}
