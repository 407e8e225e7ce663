//! The processes of a story and what can be done to them.

mod agent;
mod agent_python;
mod crowd;
mod endpoint;
pub(crate) mod ledger;
mod process;
mod programs;
pub(crate) mod seed;
mod server;
mod stage;
mod traffic;

pub(crate) use agent::Agent;
pub(crate) use agent_python::python_agent;
pub(crate) use crowd::{Acknowledged, Crowd};
pub(crate) use endpoint::Endpoint;
pub(crate) use ledger::Ledger;
pub(crate) use process::{Fails, Process};
pub(crate) use programs::{Build, program, program_of};
pub(crate) use seed::Seed;
pub(crate) use server::Server;
pub(crate) use stage::{QUICK, Stage, StartAgent};
pub(crate) use traffic::{Books, Traffic};

use std::sync::Mutex;

/// Only one story at a time in a process: the figures are about timing.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a story on a runtime of its own.
pub(crate) fn story(test: impl Future<Output = ()>) {
    let _alone = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
