//! What holds for every seed, and seeds that once failed.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

use std::process::Command;

/// Runs these seeds in a process of their own; what it printed, a line for each seed.
fn seeds(range: &str) -> Vec<String> {
    let simulate = env!("CARGO_BIN_EXE_simulate");
    let output = Command::new(simulate).args(["--worker", range]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_every_promise_holds_in_it() {
    let first = seeds("0..20");
    assert_eq!(first.iter().filter(|line| line.starts_with("seed")).count(), 20);
    let wrong: Vec<_> = first.iter().filter(|line| line.starts_with("violation")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nalone: cargo run -p shivneri-simulation -- SEED");
    assert_eq!(seeds("0..20"), first);
}

#[test]
fn a_seed_alone_gives_the_trace_it_gives_among_others() {
    let among = seeds("20..24");
    assert_eq!(seeds("23..24"), among[among.len() - 1..]);
}
