//! Stories with real processes: a server, agents, and email APIs that are killed, stopped and
//! broken while mail flows.
#![cfg(test)]

mod agent_loss;
mod command_line;
mod crash_points;
mod crash_recovery;
mod drain;
mod full_disk;
mod harness;
mod idempotency;
mod overload;
mod pauses;
mod python_agent;
mod refusals;
mod restart;
mod secrets;
