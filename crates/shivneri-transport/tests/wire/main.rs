//! Server and agents over real loopback sockets.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod acks;
mod admission;
mod bare;
mod bodies;
mod codegen;
mod drain;
mod duties;
mod elsewhere;
mod generated;
mod hold;
mod house;
mod journal;
mod loss;
mod path;
mod proxy;
mod raw;
mod running;

#[rustfmt::skip]
#[allow(
    dead_code, unreachable_pub, missing_docs, missing_debug_implementations, clippy::all,
    reason = "the generated code, for an agent that speaks the bare protocol"
)]
#[path = "../../src/gen/shivneri.agent.v1.rs"]
mod wire;
