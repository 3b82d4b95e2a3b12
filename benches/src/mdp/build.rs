//! The programs that a bench starts: built by the bench itself, so that it never measures an old one.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where the sources of the programs in C are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/c");

/// Returns the program `name` in C, such as `broker`, built on the system's libzmq.
///
/// # Errors
/// Where it does not compile: see scripts/install.
pub(crate) fn peer(name: &str) -> io::Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = built.get(name) {
        return Ok(program.clone());
    }
    let folder = target()?.join("mdp");
    std::fs::create_dir_all(&folder)?;
    let (source, program) = (Path::new(SOURCES).join(name).with_extension("c"), folder.join(name));
    let compiled = Command::new("cc")
        .args(["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .args([&program, &source])
        .arg("-lzmq")
        .status()?;
    if compiled.success() {
        built.insert(name.to_owned(), program.clone());
        return Ok(program);
    }
    Err(io::Error::other(format!("`{}` does not compile: see `scripts/install bench`", source.display())))
}

/// Returns the program that is a client or a worker of ours. Cargo builds it with the bench.
///
/// # Errors
/// Where this program does not lie where cargo puts it.
pub(crate) fn our_peer() -> io::Result<PathBuf> {
    Ok(target()?.join("majordomo_peer"))
}

/// Returns the command `playhouse`, built for release.
///
/// # Errors
/// Where it does not compile.
pub(crate) fn ours() -> io::Result<PathBuf> {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let build = || {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--release", "--package", "playhouse-cli"]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().is_ok_and(|status| status.success())
    };
    if *BUILT.get_or_init(build) {
        Ok(target()?.join("playhouse"))
    } else {
        Err(io::Error::other("`playhouse` does not compile"))
    }
}

/// Returns the folder that holds what is built for release: this program lies in `deps` within it.
fn target() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).map(Path::to_owned);
    folder.ok_or_else(|| io::Error::other(format!("`{}` does not lie in target/release/deps", program.display())))
}
