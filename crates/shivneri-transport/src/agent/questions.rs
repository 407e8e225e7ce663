//! Probes and look-ups, put to the provider for the server.

use std::time::Duration;

use shivneri_core::{Attempt, Failure, Lookup, SendError};
use tokio::time::timeout;

use super::shared::Shared;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(25);

pub(super) async fn probe(shared: &Shared) -> Result<(), SendError> {
    ask(shared, shared.provider.probe()).await
}

pub(super) async fn lookup(shared: &Shared, attempt: &Attempt) -> Result<Lookup, SendError> {
    ask(shared, shared.provider.lookup(attempt)).await
}

async fn ask<T>(
    shared: &Shared,
    question: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    let Ok(_place) = shared.questions.try_acquire() else {
        return Err(SendError::not_started("the agent has too many questions open"));
    };
    let no_answer = |_| SendError::new(Failure::Unavailable, "no answer from the provider in time");
    timeout(QUESTION, question).await.map_err(no_answer)?
}
