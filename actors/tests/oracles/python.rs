//! A Python with the packages that an oracle needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns a Python that has `packages`, such as `aiosmtpd==1.4.6`; they are installed where they are missing.
pub(crate) fn python(packages: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python-oracles");
    let made = Command::new(script).args(packages).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "scripts/python-oracles failed");
    String::from_utf8(made.stdout).unwrap().trim().into()
}
