//! (stub during bootstrap)
