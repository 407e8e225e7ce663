//! A demo's agent: a sandbox that also writes down what it took, so that the demo can count it
//! after a `kill -9`.

use std::{
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use async_trait::async_trait;
use shivneri_core::{
    Attempt, Capabilities, Email, EmailProvider, Lookup, ProviderId, Receipt, SendError,
};
use shivneri_transport::agent::{AgentOptions, Exit};

use crate::cli::DemoAgentArgs;

/// What the agent took, one message id a line.
pub(super) const TAKEN: &str = "taken.txt";

#[derive(Debug)]
struct Recording {
    sandbox: Arc<dyn EmailProvider>,
    taken: Mutex<File>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl EmailProvider for Recording {
    fn id(&self) -> &ProviderId {
        self.sandbox.id()
    }

    fn kind(&self) -> &str {
        self.sandbox.kind()
    }

    fn capabilities(&self) -> Arc<Capabilities> {
        self.sandbox.capabilities()
    }

    async fn send(&self, email: &Email, attempt: &Attempt) -> Result<Receipt, SendError> {
        let receipt = self.sandbox.send(email, attempt).await?;
        let line = format!("{}\n", attempt.message);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = taken.write_all(line.as_bytes()) {
            tracing::warn!(%error, "what was taken could not be written down");
        }
        Ok(receipt)
    }

    async fn lookup(&self, attempt: &Attempt) -> Result<Lookup, SendError> {
        self.sandbox.lookup(attempt).await
    }

    async fn probe(&self) -> Result<(), SendError> {
        self.sandbox.probe().await
    }
}

/// Runs the agent until it is ended.
///
/// # Errors
///
/// Where its directory can't be used, or the server refuses it.
pub async fn serve(
    arguments: DemoAgentArgs,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&arguments.state)?;
    let settings = serde_json::json!({ "latency": "20ms" });
    let settings = settings.as_object().cloned().context("settings are an object")?;
    let sandbox = shivneri_providers::build("sandbox", arguments.id.parse()?, settings)?.provider;
    let taken = File::options().create(true).append(true).open(arguments.state.join(TAKEN))?;
    let provider = Arc::new(Recording { sandbox, taken: Mutex::new(taken) });
    let mut options = AgentOptions::new(arguments.server, arguments.id.parse()?);
    options.state_dir = arguments.state;
    Ok(shivneri_transport::agent::serve(provider, options, shutdown).await?)
}
