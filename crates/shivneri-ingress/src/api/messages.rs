//! Accepting, showing and listing messages.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use shivneri_core::{MessageId, submit::Door};
use shivneri_spool::{Idempotency, SpoolError};

use super::{
    Api,
    body::Held,
    compose,
    extract::{Named, Parameters},
    query,
    shown::{Message, Row},
};
use crate::{
    Identity, Origin, Refusal, Taken,
    problem::{Code, Problem},
    token,
};

/// Larger bodies are read off the threads that carry everything else.
const LARGE: usize = 256 << 10;

/// Tells that an earlier request brought the message.
const REPLAYED: &str = "idempotency-replayed";

#[derive(Debug, Serialize)]
struct Accepted {
    id: MessageId,
    status: &'static str,
}

pub(super) async fn accept(
    State(api): State<Arc<Api>>,
    Extension(identity): Extension<Arc<Identity>>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let key = idempotency_key(&head.headers)?;
    let Held { bytes, room } = api.bodies.json(&head.headers, body).await?;
    let large = bytes.len() > LARGE;
    let read = move || {
        let draft = compose::draft(&bytes)?;
        let fingerprint = |key| Idempotency { key, fingerprint: token::digest_of(&bytes) };
        Ok::<_, Problem>((draft, key.map(fingerprint)))
    };
    let (draft, idempotency) = if large {
        tokio::task::spawn_blocking(read).await.map_err(|error| {
            tracing::error!(%error, "a message could not be read");
            Problem::unavailable("the message could not be read", 1)
        })??
    } else {
        read()?
    };
    let origin = Origin {
        door: Door::Http,
        owner: identity.name().to_owned(),
        domains: identity.domains().cloned(),
        idempotency,
    };
    let taken = api.parts.submission.submit_from(draft, origin).await?;
    drop(room);
    Ok(accepted(taken))
}

fn accepted(Taken { id, status, replayed }: Taken) -> Response {
    let place = [(header::LOCATION, format!("/v1/messages/{id}"))];
    let mut response = (StatusCode::ACCEPTED, place, Json(Accepted { id, status })).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(errors) => Self::fields(errors),
            Refusal::Sender { .. } => Self::new(Code::SenderNotAllowed, refusal.to_string()),
            Refusal::KeyReused => {
                let detail = "this Idempotency-Key came with another body within the last 24 hours";
                Self::new(Code::IdempotencyKeyReused, detail)
            }
            Refusal::InProgress => Self {
                retry_after: Some(1),
                ..Self::new(Code::RequestInProgress, refusal.to_string())
            },
            Refusal::Unavailable { ref reason, retry_after } => {
                Self::unavailable(reason.clone(), retry_after)
            }
        }
    }
}

/// The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), quotes and all.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::field(NAME, "is there twice"));
    }
    let visible = |byte: &u8| (0x21..=0x7e).contains(byte);
    let bytes = value.as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(key) if (1..=256).contains(&bytes.len()) && bytes.iter().all(visible) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::field(NAME, "is not 1 to 256 visible ASCII characters")),
    }
}

/// A message's id; one that is none names no message.
pub(super) fn id(text: &str) -> Result<MessageId, Problem> {
    text.parse().map_err(|_| unknown(text))
}

pub(super) fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(Code::UnknownMessage, format!("no message {id:?} is known"))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    let id = self::id(&id)?;
    let record = api.parts.spool.get(id).await?.ok_or_else(|| unknown(&id.to_string()))?;
    Ok(Json(Message::of(&record)).into_response())
}

#[derive(Debug, Serialize)]
struct Page<'a> {
    data: Vec<Row<'a>>,
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Parameters(pairs): Parameters,
) -> Result<Response, Problem> {
    let search = query::search(&pairs)?;
    let page = match api.parts.spool.search(&search).await {
        Ok(page) => page,
        Err(error @ SpoolError::BadCursor) => return Err(Problem::field("cursor", error)),
        Err(error) => return Err(error.into()),
    };
    let data = page.messages.iter().map(Row::of).collect();
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(Page { data, next_cursor }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_status_of_its_own_and_says_when_to_come_back() {
        let unavailable = Refusal::Unavailable { reason: "full".to_owned(), retry_after: 30 };
        let sender = Refusal::Sender { domain: "example.com".to_owned() };
        for (refusal, status, code, retry_after) in [
            (Refusal::Invalid(Vec::new()), 422, Code::InvalidField, None),
            (sender, 403, Code::SenderNotAllowed, None),
            (Refusal::KeyReused, 422, Code::IdempotencyKeyReused, None),
            (Refusal::InProgress, 409, Code::RequestInProgress, Some(1)),
            (unavailable, 503, Code::Unavailable, Some(30)),
        ] {
            let problem = Problem::from(refusal);
            assert_eq!((problem.code, problem.retry_after), (code, retry_after));
            assert_eq!(problem.code.facts().0, status);
        }
    }
}
