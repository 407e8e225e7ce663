use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::draws::Draws;

fn set(weights: &[u32]) -> ActiveSet {
    let candidate = |(index, weight): (usize, &u32)| {
        let id = format!("p{index}").parse().unwrap();
        Candidate::new(index, id, *weight, Arc::new(Load::new(64)))
    };
    ActiveSet::new(1, weights.iter().enumerate().map(candidate).collect())
}

fn all(_: &Candidate) -> Admission {
    Admission::Granted
}

fn shares(name: &str, active: &ActiveSet, picks: usize) -> Vec<f64> {
    let mut scheduler = by_name(name).unwrap();
    let mut draws = Draws::new(7);
    let mut counts = vec![0_usize; active.candidates().len()];
    for _ in 0..picks {
        counts[scheduler.pick(active, &all, draws.draw()).unwrap().index] += 1;
    }
    counts.into_iter().map(|count| count as f64 / picks as f64).collect()
}

#[test]
fn schedulers_with_weights_give_each_its_share() {
    for name in ["weighted", "o1"] {
        let shares = shares(name, &set(&[5, 3, 2]), 10_000);
        for (share, wanted) in shares.iter().zip([0.5, 0.3, 0.2]) {
            assert!((share - wanted).abs() < wanted * 0.05, "{name}: {shares:?}");
        }
    }
}

#[test]
fn schedulers_without_weights_give_all_the_same() {
    for name in ["random", "round-robin"] {
        for share in shares(name, &set(&[5, 3, 2, 1]), 10_000) {
            assert!((share - 0.25).abs() < 0.0125, "{name}: {share}");
        }
    }
}

#[test]
fn the_default_prefers_the_faster_and_keeps_the_slower_warm() {
    let active = set(&[1, 1]);
    active.candidates()[0].load().observe(Duration::from_millis(10), Duration::ZERO);
    active.candidates()[1].load().observe(Duration::from_millis(900), Duration::ZERO);
    let shares = shares("least-latency", &active, 10_000);
    assert!(shares[0] > 0.9 && shares[1] >= 0.045, "{shares:?}");
}

#[test]
fn the_default_follows_weights_among_equals() {
    let active = set(&[3, 1]);
    let mut scheduler = LeastLatency;
    let mut draws = Draws::new(3);
    // What is in flight grows with each pick, as under load that never ends.
    let mut counts = [0_u32; 2];
    for _ in 0..60 {
        let index = scheduler.pick(&active, &all, draws.draw()).unwrap().index;
        assert!(active.candidates()[index].load().enter());
        counts[index] += 1;
    }
    assert!((40..=50).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_recovering_provider_gets_about_its_share() {
    for name in ["random", "round-robin", "o1", "weighted", "least-latency"] {
        let active = set(&[1, 1]);
        active.candidates()[1].load().resize(64, 0.1);
        let shares = shares(name, &active, 10_000);
        assert!((0.005..0.16).contains(&shares[1]), "{name}: {shares:?}");
    }
}

#[test]
fn time_slices_starve_no_level() {
    let active = set(&[1; 64]);
    for (index, candidate) in active.candidates().iter().enumerate() {
        candidate.load().observe(Duration::from_micros(1 << (index / 3)), Duration::from_secs(60));
    }
    let mut scheduler = O1::default();
    let mut draws = Draws::new(1);
    let mut last_seen: HashMap<usize, usize> = HashMap::new();
    for turn in 0..100_000 {
        let index = scheduler.pick(&active, &all, draws.draw()).unwrap().index;
        let before = last_seen.insert(index, turn).unwrap_or(turn);
        assert!(turn - before <= 2 * 64, "{index} waited {} picks", turn - before);
    }
    assert_eq!(last_seen.len(), 64);
}

proptest! {
    #[test]
    fn only_who_is_admitted_is_picked(
        weights in prop::collection::vec(1_u32..10, 0..40),
        mask: u64,
        recovering: u64,
        seed: u64,
    ) {
        let active = set(&weights);
        for candidate in active.candidates() {
            if recovering >> candidate.index() & 1 == 1 {
                candidate.load().resize(64, 0.1);
            }
        }
        let may = |c: &Candidate| {
            if mask >> c.index() & 1 == 1 { Admission::Granted } else { Admission::Denied("no".into()) }
        };
        let any = active.candidates().iter().any(|c| may(c).is_granted());
        for name in NAMES {
            let mut scheduler = by_name(name).unwrap();
            let mut draws = Draws::new(seed);
            for _ in 0..50 {
                let pick = scheduler.pick(&active, &may, draws.draw());
                prop_assert_eq!(pick.is_some(), any, "{}", name);
                if let Some(pick) = pick {
                    prop_assert!(may(&active.candidates()[pick.index]).is_granted(), "{}", name);
                }
            }
        }
    }

    #[test]
    fn a_set_that_shrinks_or_grows_is_noticed(sizes in prop::collection::vec(0_usize..20, 1..20), seed: u64) {
        for name in NAMES {
            let mut scheduler = by_name(name).unwrap();
            let mut draws = Draws::new(seed);
            for (version, size) in sizes.iter().enumerate() {
                let candidates = set(&vec![2; *size]).candidates;
                let active = ActiveSet::new(version as u64 + 10, candidates);
                for _ in 0..5 {
                    let pick = scheduler.pick(&active, &all, draws.draw());
                    prop_assert_eq!(pick.is_some(), *size > 0);
                    prop_assert!(pick.is_none_or(|pick| pick.index < *size));
                }
            }
        }
    }
}
