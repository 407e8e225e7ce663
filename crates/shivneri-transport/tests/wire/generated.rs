use std::{fs, path::Path};

use crate::codegen;

#[test]
fn the_committed_code_is_what_the_proto_generates() {
    let fresh = tempfile::tempdir().unwrap();
    codegen::generate(fresh.path()).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    let name = "shivneri.agent.v1.rs";
    let read = |dir: &Path| fs::read_to_string(dir.join(name)).unwrap();
    assert!(
        read(fresh.path()) == read(&committed),
        "run: cargo run -p shivneri-transport --example regenerate"
    );
}
