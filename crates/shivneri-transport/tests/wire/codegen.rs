//! Turns the `.proto` into Rust, without a protoc on the machine.

use std::{error::Error, path::Path};

/// Writes the code generated from the `.proto` into `target`.
pub(crate) fn generate(target: &Path) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let descriptors = protox::compile(["shivneri/agent/v1/agent.proto"], [&root])?;
    tonic_prost_build::configure()
        .out_dir(target)
        .bytes(".")
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
