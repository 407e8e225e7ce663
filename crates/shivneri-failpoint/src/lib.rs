//! Places at which a test has a program die, or an operation fail.
//!
//! Other crates depend on this one with their feature `failpoints` only, which no ordinary build
//! has, and mark such places with [`hit`] and [`fails`]. `SHIVNERI_FAILPOINT=accept.written` makes
//! a process kill itself with SIGKILL where it comes to that place; `accept.written:3` where it
//! comes there for the third time. Where `SHIVNERI_FAILPOINT_ARMED` names a file, nothing counts
//! before that file is there.
#![deny(missing_docs)]

mod plan;

use std::sync::OnceLock;

use plan::Plan;
use rustix::process::{Signal, getpid, kill_process};

/// What the environment asked for, read at the first place that is reached.
static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

fn reached(name: &str) -> bool {
    let plan = PLAN.get_or_init(|| {
        let armed = std::env::var_os("SHIVNERI_FAILPOINT_ARMED").map(Into::into);
        std::env::var("SHIVNERI_FAILPOINT").ok().map(|text| Plan::read(&text, armed))
    });
    plan.as_ref().is_some_and(|plan| plan.reached(name))
}

/// Ends this process with SIGKILL if it is to die here. Nothing of it runs on: no destructor, no
/// buffer that is still to be written.
pub fn hit(name: &str) {
    if reached(name) {
        // A signal that a process may not ignore needs no permission from itself.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Whether the operation that begins here is to fail: it does once, at the hit asked for.
pub fn fails(name: &str) -> bool {
    reached(name)
}
