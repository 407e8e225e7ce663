//! (stub during bootstrap)
fn main() {}
