//! What one pick costs, by scheduler and number of candidates.
#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use shivneri_core::{
    draws::Draws,
    scheduler::{ActiveSet, Admission, Candidate, Load, NAMES, by_name},
};

fn set(count: usize) -> ActiveSet {
    let candidate = |index: usize| {
        let id = format!("p{index}").parse().expect("a valid name");
        Candidate::new(index, id, 1 + (index % 4) as u32, Arc::new(Load::new(64)))
    };
    ActiveSet::new(count as u64, (0..count).map(candidate).collect())
}

fn pick(criterion: &mut Criterion) {
    for name in NAMES {
        let mut group = criterion.benchmark_group(format!("pick/{name}"));
        for count in [2, 100, 10_000] {
            let active = set(count);
            let mut scheduler = by_name(name).expect("it ships");
            let mut draws = Draws::new(1);
            group.bench_with_input(BenchmarkId::from_parameter(count), &count, |bencher, _| {
                bencher.iter(|| {
                    black_box(scheduler.pick(&active, &|_| Admission::Granted, draws.draw()))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
