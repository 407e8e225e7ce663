//! Runs seeds. `simulate SEED` runs one and prints what happens; `simulate FROM..TO` runs many,
//! in as many processes as there are cores, and prints what does not hold and the sums.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader},
    ops::Range,
    process::{Child, Command, ExitCode, Stdio},
};

const USAGE: &str = "usage: simulate SEED | simulate FROM..TO";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--worker", seeds] => seeds_of(seeds).map_or_else(usage, work),
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

/// One line for each seed: what it did, or what did not hold.
fn work(seeds: Range<u64>) -> ExitCode {
    for seed in seeds {
        let report = shivneri_simulation::run(seed, false);
        for violation in &report.violations {
            println!("violation\t{seed}\t{violation}");
        }
        let states = report.states.iter().map(|(word, count)| format!("{word}={count}"));
        println!(
            "seed\t{seed}\t{:016x}\tacknowledged={} attempts={} doubtful={} doubles={} seconds={} {}",
            report.digest,
            report.acknowledged,
            report.attempts,
            report.doubtful,
            report.doubles,
            report.virtual_time.as_secs(),
            states.collect::<Vec<_>>().join(" "),
        );
    }
    ExitCode::SUCCESS
}

/// Seeds that one process runs, one after the other.
const BATCH: u64 = 50;

fn many(seeds: Range<u64>) -> ExitCode {
    let mut batches: VecDeque<Range<u64>> = (seeds.start..seeds.end)
        .step_by(BATCH as usize)
        .map(|from| from..seeds.end.min(from + BATCH))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sums = BTreeMap::<String, u64>::new();
    let (mut failed, mut done) = (Vec::new(), 0);
    let mut running: Vec<(Range<u64>, Child)> = Vec::new();
    while !batches.is_empty() || !running.is_empty() {
        while running.len() < cores
            && let Some(batch) = batches.pop_front()
        {
            let child = start(&batch);
            running.push((batch, child));
        }
        let (batch, mut child) = running.remove(0);
        let mut next = batch.start;
        let output = child.stdout.take().expect("its output is piped");
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let parts: Vec<&str> = line.split('\t').collect();
            match parts[..] {
                ["seed", seed, _, counts] => {
                    next = seed.parse::<u64>().map_or(next, |seed| seed + 1);
                    done += 1;
                    for (word, count) in counts.split(' ').filter_map(|one| one.split_once('=')) {
                        let count = count.parse::<u64>().unwrap_or_default();
                        *sums.entry(word.to_owned()).or_default() += count;
                    }
                }
                ["violation", seed, what] => {
                    println!("seed {seed}: {what}\n  alone: simulate {seed}");
                    failed.extend(seed.parse::<u64>());
                }
                _ => println!("{line}"),
            }
        }
        let ended = child.wait().expect("it was started here");
        if !ended.success() {
            println!("seed {next}: the simulation itself ended: {ended}\n  alone: simulate {next}");
            failed.push(next);
            if next + 1 < batch.end {
                batches.push_front(next + 1..batch.end);
            }
        }
    }
    failed.dedup();
    let counts: Vec<String> = sums.iter().map(|(word, sum)| format!("{word}={sum}")).collect();
    println!("{done} seeds, {} failed; {}", failed.len(), counts.join(" "));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(batch: &Range<u64>) -> Child {
    let program = std::env::current_exe().expect("a program knows its own path");
    Command::new(program)
        .args(["--worker", &format!("{}..{}", batch.start, batch.end)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started once more")
}
