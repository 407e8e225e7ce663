//! Stories with real processes: a server, agents, and email APIs that are killed, stopped and
//! broken while mail flows.
#![cfg(test)]

mod agent_loss;
mod command_line;
mod harness;
mod python_agent;
mod refusals;
mod restart;
