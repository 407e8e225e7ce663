//! Time and randomness of a thread that simulates, below the standard library.
//!
//! Product code asks for the time, for UUIDs and for the keys of its hash maps. All of that ends
//! in two functions of the C library, which this file defines for the simulation's programs: on a
//! thread that simulates they answer from the seed and the virtual clock, on all others they ask
//! the kernel. So the product runs as it is, and the same seed gives the same run.
#![allow(unsafe_code, reason = "two functions of the C library are defined here")]

use std::cell::Cell;

use rustix::{
    rand::{GetRandomFlags, getrandom as kernel_random},
    time::{ClockId, clock_gettime as kernel_time},
};
use shivneri_core::draws::Draws;
use tokio::time::Instant;

/// Seconds since 1970 at which the run of seed 0 begins; each seed's begins a day later.
const EPOCH: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

#[derive(Clone, Copy)]
struct Simulated {
    seed: u64,
    drawn: u64,
    began: Option<Instant>,
}

thread_local! {
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// This thread simulates from here on.
pub(crate) fn enter(seed: u64) {
    SIMULATED.set(Some(Simulated { seed, drawn: 0, began: None }));
}

/// The virtual clock runs from here on.
pub(crate) fn start() {
    let began = Some(Instant::now());
    SIMULATED.set(SIMULATED.get().map(|simulated| Simulated { began, ..simulated }));
}

#[repr(C)]
#[derive(Debug)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// # Safety
///
/// As `getrandom(2)`: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    // SAFETY: the caller gives a buffer of that length, as the C library's function demands.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if let Some(mut simulated) = SIMULATED.get() {
        for chunk in buffer.chunks_mut(8) {
            simulated.drawn += 1;
            let draw = Draws::new(simulated.seed ^ simulated.drawn.rotate_left(32)).draw();
            chunk.copy_from_slice(&draw.to_le_bytes()[..chunk.len()]);
        }
        SIMULATED.set(Some(simulated));
        return length as isize;
    }
    let flags = GetRandomFlags::from_bits_truncate(flags);
    kernel_random(buffer, flags).map_or(-1, |filled| filled as isize)
}

/// # Safety
///
/// As `clock_gettime(2)`: `time` points to a `timespec`.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: i32, time: *mut Timespec) -> i32 {
    let now = match SIMULATED.get() {
        Some(simulated) => virtual_time(&simulated, clock),
        None => {
            let clock = if clock == 0 { ClockId::Realtime } else { ClockId::Monotonic };
            let now = kernel_time(clock);
            Timespec { seconds: now.tv_sec, nanoseconds: now.tv_nsec }
        }
    };
    // SAFETY: the caller points to a `timespec`, as the C library's function demands.
    unsafe { time.write(now) };
    0
}

fn virtual_time(simulated: &Simulated, clock: i32) -> Timespec {
    // The virtual clock itself asks once, when it is made.
    let elapsed = match simulated.began {
        Some(began) if !READING.replace(true) => {
            let elapsed = Instant::now().saturating_duration_since(began);
            READING.set(false);
            elapsed
        }
        Some(_) | None => std::time::Duration::ZERO,
    };
    let start = if clock == 0 { EPOCH + simulated.seed as i64 * DAY } else { DAY };
    Timespec {
        seconds: start + elapsed.as_secs() as i64,
        nanoseconds: i64::from(elapsed.subsec_nanos()),
    }
}
