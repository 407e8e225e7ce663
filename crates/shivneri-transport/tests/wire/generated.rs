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

#[test]
fn the_protocols_page_names_every_frame_state_and_failure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = fs::read_to_string(root.join("proto/shivneri/agent/v1/agent.proto")).unwrap();
    let page = fs::read_to_string(root.join("../../docs/agent-protocol.md")).unwrap();
    let block = |from: &str| {
        let rest = proto.split_once(from).expect("the block is in the proto").1;
        rest.split_once('}').expect("it ends").0.to_owned()
    };
    let words = |block: String, place: usize| {
        let lines = block.lines().map(str::trim).filter(|line| line.ends_with(';'));
        lines.filter_map(|line| Some(line.split(' ').nth(place)?.to_owned())).collect::<Vec<_>>()
    };
    let mut names = words(block("message AgentFrame {\n  oneof frame {"), 0);
    names.extend(words(block("message ServerFrame {\n  oneof frame {"), 0));
    names.extend(words(block("enum State {"), 0));
    names.extend(words(block("enum Kind {"), 0));
    names.extend(words(block("enum Cause {"), 0));
    let is_field = |name: &String| name.starts_with(char::is_lowercase);
    names.extend(words(block("message Hello {"), 1).into_iter().filter(is_field));
    assert!(names.len() > 40, "{names:?}");
    names.retain(|name| !name.ends_with("UNSPECIFIED") && !page.contains(&format!("`{name}`")));
    assert_eq!(names, Vec::<String>::new());
}
