//! What holds for every seed, and seeds that once failed.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

use std::{ops::Range, process::Command};

fn simulate(words: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_simulate");
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What one seed did, and what did not hold, a line for each.
fn lines(seed: u64) -> Vec<String> {
    simulate(&["--lines", &seed.to_string()]).lines().map(str::to_owned).collect()
}

fn the_same_twice_and_nothing_wrong(seeds: Range<u64>) {
    for seed in seeds {
        let first = lines(seed);
        assert!(first.len() == 1, "{first:#?}\nalone: cargo run -p shivneri-simulation -- {seed}");
        assert_eq!(lines(seed), first);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_every_promise_holds_in_it() {
    the_same_twice_and_nothing_wrong(0..10);
}

#[test]
fn ten_more_seeds_give_the_same_trace_and_every_promise_holds_in_them() {
    the_same_twice_and_nothing_wrong(10..20);
}

#[test]
fn a_seed_that_is_printed_gives_the_trace_it_gives_among_others() {
    let line = lines(23).pop().unwrap();
    let digest = line.split('\t').nth(2).unwrap();
    assert!(simulate(&["23"]).contains(&format!("digest: {digest},")), "{line}");
    let among = simulate(&["22..24"]);
    assert!(among.starts_with("2 seeds, 0 failed; "), "{among}");
}

/// A resend was repeated by its key, and the repetition was the one that was taken.
#[test]
fn what_repeats_a_marked_resend_is_marked() {
    for seed in [4621, 5160, 6166, 7367] {
        let found = lines(seed);
        assert!(found.len() == 1, "{found:#?}");
    }
}

/// An offer was on its way out when the server let go of the agent's connection.
#[test]
fn an_agent_may_be_asked_in_the_moment_of_its_death() {
    for seed in [1114, 5451, 6051, 9528] {
        let found = lines(seed);
        assert!(found.len() == 1, "{found:#?}");
    }
}
