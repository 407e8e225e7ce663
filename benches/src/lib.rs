//! Benchmarks of Shivneri: `cargo bench -p shivneri-benches`.
