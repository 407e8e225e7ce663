//! Runs seeds. `simulate SEED` runs one and prints what happens; `simulate FROM..TO` runs many,
//! as many at a time as there are cores, and prints what does not hold and the sums.
//!
//! Each seed has a process of its own: tokio and the UUID crate count per process, and a seed's run
//! must not depend on those before it.

use std::{
    collections::BTreeMap,
    ops::Range,
    process::{Command, ExitCode, Output},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

const USAGE: &str = "usage: simulate SEED | simulate FROM..TO";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--lines", seed] => seed.parse().map_or_else(|_| usage(), lines),
        [one] => match (one.parse(), seeds_of(one)) {
            (Ok(seed), _) => single(seed),
            (Err(_), Some(seeds)) => many(seeds),
            (Err(_), None) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn seeds_of(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn single(seed: u64) -> ExitCode {
    let report = shivneri_simulation::run(seed, true);
    println!("{report:#?}");
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line for each thing that did not hold, and one of what the seed did.
fn lines(seed: u64) -> ExitCode {
    let report = shivneri_simulation::run(seed, false);
    for violation in &report.violations {
        println!("violation\t{seed}\t{violation}");
    }
    let states = report.states.iter().map(|(word, count)| format!("{word}={count}"));
    println!(
        "seed\t{seed}\t{}\tacknowledged={} attempts={} doubtful={} doubles={} seconds={} {}",
        report.digest,
        report.acknowledged,
        report.attempts,
        report.doubtful,
        report.doubles,
        report.virtual_time.as_secs(),
        states.collect::<Vec<_>>().join(" "),
    );
    ExitCode::SUCCESS
}

/// One seed in a process of its own.
fn start(seed: u64) -> Output {
    let program = std::env::current_exe().expect("a program knows its own path");
    let mut command = Command::new(program);
    command.arg("--lines").arg(seed.to_string()).stderr(std::process::Stdio::inherit());
    command.output().expect("it can be started once more")
}

fn many(seeds: Range<u64>) -> ExitCode {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(seeds.start);
    let mut sums = BTreeMap::<String, u64>::new();
    let (mut failed, mut done) = (0_u64, 0_u64);
    thread::scope(|scope| {
        let (sender, ended) = mpsc::sync_channel(cores);
        for _ in 0..cores {
            let (sender, next, end) = (sender.clone(), &next, seeds.end);
            scope.spawn(move || {
                let seeds = || next.fetch_add(1, Ordering::Relaxed);
                for seed in std::iter::repeat_with(seeds).take_while(|seed| *seed < end) {
                    sender.send((seed, start(seed))).expect("the sums are made until the end");
                }
            });
        }
        drop(sender);
        for (seed, output) in ended {
            let mut wrong = Vec::new();
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let parts: Vec<&str> = line.split('\t').collect();
                match parts[..] {
                    ["seed", _, _, counts] => {
                        done += 1;
                        add(&mut sums, counts);
                    }
                    ["violation", _, what] => wrong.push(what.to_owned()),
                    _ => println!("{line}"),
                }
            }
            if !output.status.success() {
                wrong.push(format!("the simulation itself ended: {}", output.status));
            }
            failed += u64::from(!wrong.is_empty());
            for what in wrong {
                println!("seed {seed}: {what}\n  alone: simulate {seed}");
            }
        }
    });
    let counts: Vec<String> = sums.iter().map(|(word, sum)| format!("{word}={sum}")).collect();
    println!("{done} seeds, {failed} failed; {}", counts.join(" "));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add(sums: &mut BTreeMap<String, u64>, counts: &str) {
    for (word, count) in counts.split(' ').filter_map(|one| one.split_once('=')) {
        *sums.entry(word.to_owned()).or_default() += count.parse::<u64>().unwrap_or_default();
    }
}
