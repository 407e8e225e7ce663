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
mod pausing;
mod recovering;
mod scene;

use super::harness::{Build, program_of, seed::times, story};
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

#[test]
fn no_failpoint_is_in_a_program_as_it_is_built_ordinarily() {
    for name in ["shivneri-server", "shivneri-agent"] {
        for (build, expected) in [(Build::Ordinary, false), (Build::Failpoints, true)] {
            let program = std::fs::read(program_of(build, name)).unwrap();
            let found = ["SHIVNERI_FAILPOINT", "disk.sync"]
                .map(|word| program.windows(word.len()).any(|bytes| bytes == word.as_bytes()));
            assert_eq!(found, [expected; 2], "{name}, {build:?}");
        }
    }
}
