//! A simulation of a whole installation: one server, its agents, its providers, on a network
//! that fails, in virtual time and from a seed.
//!
//! Registry, dispatcher, courier, hub and agents are the product's own. They run as futures on
//! one thread under tokio's paused clock, which jumps from timer to timer, so that a quiet minute
//! costs nothing; a framework that steps every host each tick would make ten thousand seeds
//! slow. A process is a future, and dropping it is its crash; what the product spawned beside it
//! ends because its connections, its disk and its queue refuse it from that moment on. Time,
//! randomness and UUIDs are replaced below the standard library (`os.rs`). tokio and the UUID
//! crate count per process, so a seed gives the same run again only as the first of its process.
#![deny(missing_docs)]

mod accounts;
mod check;
mod disk;
mod net;
mod os;
mod plan;
mod run;
mod server;
mod spool;
mod trace;
mod watch;
mod world;

pub use run::Report;

/// Runs one seed, on a thread of its own: the first of this process, or its run is another one.
/// With `print` each thing that happens is printed.
///
/// # Panics
///
/// Where the product did.
pub fn run(seed: u64, print: bool) -> Report {
    let work = move || {
        os::enter(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without drivers is always there");
        runtime.block_on(async {
            os::start();
            run::run(seed, print).await
        })
    };
    let thread = std::thread::Builder::new().name(format!("seed-{seed}")).spawn(work);
    let ended = thread.expect("a thread can be had").join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
