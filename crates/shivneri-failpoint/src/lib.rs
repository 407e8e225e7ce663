//! Places at which a test has a program die, and a disk that fails.
//!
//! Other crates depend on this one with their feature `failpoints` only, which no ordinary build
//! has, and mark such places with [`hit`]. `SHIVNERI_FAILPOINT=accept.written` makes a process kill
//! itself with SIGKILL where it comes to that place; `accept.written:3` where it comes there for
//! the third time. Where `SHIVNERI_FAILPOINT_ARMED` names a file, nothing counts before that file
//! is there.
//!
//! `disk.sync` needs no mark: on Linux, every `fsync` and `fdatasync` of the process fails from
//! that hit on, as long as that file is there.
#![deny(missing_docs)]

#[cfg(target_os = "linux")]
mod disk;
mod plan;

use std::sync::OnceLock;

use plan::Plan;
use rustix::process::{Signal, getpid, kill_process};

/// What the environment asked for, read at the first place that is reached.
static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

fn plan() -> Option<&'static Plan> {
    let plan = PLAN.get_or_init(|| {
        let armed = std::env::var_os("SHIVNERI_FAILPOINT_ARMED").map(Into::into);
        std::env::var("SHIVNERI_FAILPOINT").ok().map(|text| Plan::read(&text, armed))
    });
    plan.as_ref()
}

/// Ends this process with SIGKILL if it is to die here. Nothing of it runs on: no destructor, no
/// buffer that is still to be written.
pub fn hit(name: &str) {
    if plan().is_some_and(|plan| plan.reached(name)) {
        // A signal that a process may not ignore needs no permission from itself.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Whether what began at this place still lasts.
#[cfg(target_os = "linux")]
fn lasts(name: &str) -> bool {
    plan().is_some_and(|plan| plan.lasts(name))
}
