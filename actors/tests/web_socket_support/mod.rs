//! A party to WebSockets in Python, by the package `websockets`.

#![allow(dead_code, clippy::unwrap_used)]

#[path = "../oracles/python.rs"]
mod python;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use python::python;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Party {
    process: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
}

impl Party {
    pub(crate) fn start(words: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(python(&["websockets==17.4"]))
            .arg(folder.join("tests/oracles/web_socket_party.py"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { return };
                // The test may have heard enough.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let input = process.stdin.take().unwrap();
        Self { process, input, lines }
    }

    pub(crate) fn tell(&mut self, what: &Value) {
        writeln!(self.input, "{what}").unwrap();
    }

    #[track_caller]
    pub(crate) fn hear(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
