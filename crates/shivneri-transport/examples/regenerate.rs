//! Writes the generated code anew after a change of the `.proto`:
//! `cargo run -p shivneri-transport --example regenerate`.

use std::path::Path;

#[path = "../tests/wire/codegen.rs"]
mod codegen;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    codegen::generate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen"))
}
