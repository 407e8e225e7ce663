use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Which build of the programs a story runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// As everybody gets them.
    Ordinary,
    /// With places at which they can be made to die.
    Failpoints,
}

/// Where an ordinary program is.
pub(crate) fn program(name: &str) -> PathBuf {
    program_of(Build::Ordinary, name)
}

/// Where a program is: in the directory that a variable names, or, built now where that is not
/// set, beside this test's own programs or in a target directory of their own.
pub(crate) fn program_of(build: Build, name: &str) -> PathBuf {
    static ORDINARY: OnceLock<PathBuf> = OnceLock::new();
    static FAILPOINTS: OnceLock<PathBuf> = OnceLock::new();
    let (dir, variable): (_, _) = match build {
        Build::Ordinary => (&ORDINARY, "SHIVNERI_PROGRAMS"),
        Build::Failpoints => (&FAILPOINTS, "SHIVNERI_FAILPOINT_PROGRAMS"),
    };
    let dir = dir.get_or_init(|| match std::env::var_os(variable) {
        Some(dir) => dir.into(),
        None => built(build),
    });
    dir.join(name)
}

fn built(build: Build) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_fake-provider")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--quiet"])
        .args(["-p", "shivneri-server", "-p", "shivneri-agent", "-p", "shivneri"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let dir = match build {
        Build::Ordinary => beside.to_owned(),
        Build::Failpoints => {
            let target = beside.parent().unwrap().join("failpoints");
            command.args(["--features", "shivneri-server/failpoints,shivneri-agent/failpoints"]);
            command.arg("--target-dir").arg(&target);
            target.join("debug")
        }
    };
    assert!(command.status().unwrap().success(), "the programs could not be built");
    dir
}
