//! Each place at which `kill -9` can strike is hit on purpose, and what must hold after it is
//! looked at: with an agent, and with the provider in the server's own process.
//!
//! The programs are built with failpoints. Each story is told so many times as
//! `SHIVNERI_ROUNDS` says; once without it.

mod accepting;
mod attempting;
mod damage;
mod disk;
mod draining;
mod recovering;
mod scene;

use super::harness::{seed::times, story};
use scene::{Scene, Way};

/// Long enough that nothing is sent again before a story ends: what is sent was certainly not
/// sent before.
const NEVER: &str = "60s";
/// Short enough to wait for.
const SOON: &str = "3s";

/// Tells a story as often as is asked for.
fn rounds(name: &str, mut round: impl AsyncFnMut()) {
    story(async {
        let count = times("SHIVNERI_ROUNDS", 1);
        for _ in 0..count {
            round().await;
        }
        println!("{name}: {count} of {count}");
    });
}
