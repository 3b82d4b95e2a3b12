//! Peers in Python: a program of `benches/python`, which answers each line of its standard input by one line.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::offspring::Offspring;

/// A program that runs until this value is dropped.
#[derive(Debug)]
pub(super) struct Python(Offspring);

impl Python {
    /// Starts `program` with a folder that it reads, on a Python that has `packages`.
    pub(super) fn start(program: &str, packages: &[&str], folder: &Path) -> io::Result<Self> {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
        let made =
            Command::new(benches.join("../scripts/python-oracles")).args(packages).stderr(Stdio::inherit()).output()?;
        if !made.status.success() {
            return Err(io::Error::other("scripts/python-oracles failed"));
        }
        let python = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        Offspring::start(Command::new(python).arg(benches.join("python").join(program)).arg(folder)).map(Self)
    }

    /// Says a line to the program, and returns its answer.
    pub(super) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.0.tell(line)?;
        self.0.line()
    }
}
