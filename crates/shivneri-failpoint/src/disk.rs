//! A disk that does not sync.
//!
//! Whatever a program syncs, its own files or SQLite's, ends in two functions of the C library.
//! This file defines them for programs with failpoints: at the failpoint `disk.sync` they fail as
//! the kernel's would, anywhere else they ask the kernel.
#![allow(unsafe_code, reason = "two functions of the C library are defined here")]

use std::{ffi::c_int, os::fd::BorrowedFd};

use rustix::io::Errno;

unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, |file| rustix::fs::fsync(file))
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, |file| rustix::fs::fdatasync(file))
}

fn sync(file: c_int, kernel: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>) -> c_int {
    let done = if crate::lasts("disk.sync") {
        Err(Errno::IO)
    } else if file < 0 {
        Err(Errno::BADF)
    } else {
        // SAFETY: the caller gives an open file, as the C library's functions demand; the kernel
        // refuses one that is not.
        kernel(unsafe { BorrowedFd::borrow_raw(file) })
    };
    match done {
        Ok(()) => 0,
        Err(errno) => {
            // SAFETY: the C library gives each thread a place of its own for its last error.
            unsafe { __errno_location().write(errno.raw_os_error()) };
            -1
        }
    }
}
