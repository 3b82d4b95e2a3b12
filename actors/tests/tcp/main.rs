//! Sources and sinks over TCP, with sockets, processes and programs of others at the other end.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(feature = "net")]

mod events;
mod kill;
mod plain;
#[cfg(feature = "tls")]
mod secure;

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use playhouse_actors::{TcpSink, TcpSinkSettings, TcpSource, TcpSourceSettings};
use playhouse_engine::testing::Probe;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Long enough for whatever ends at all.
const PATIENCE: Duration = Duration::from_secs(20);

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn source(settings: TcpSourceSettings) -> (Probe, String) {
    let (listener, address) = listener();
    (Probe::new(TcpSource::on(listener, settings).unwrap()).await.unwrap(), address)
}

async fn sink(address: &str, settings: TcpSinkSettings) -> Probe {
    Probe::new(TcpSink::to([address], settings).unwrap()).await.unwrap()
}

/// Settings of a sink that tries again soon.
fn quick() -> TcpSinkSettings {
    let first_wait = Duration::from_millis(5);
    TcpSinkSettings { first_wait, longest_wait: first_wait, ..TcpSinkSettings::default() }
}

/// A Python program at the other end.
struct Python(Child);

impl Python {
    /// Runs `script`, whose `sys.argv[1:]` is `words`.
    fn run(script: &str, words: &[&str]) -> Self {
        let script = format!("import os, socket, struct, sys, time\n{script}");
        let mut command = Command::new("python3");
        command.args(["-c", &script]).args(words).stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        Self(command.spawn().expect("python3 is installed"))
    }

    /// Waits for its end, and returns what it printed.
    async fn printed(mut self) -> String {
        let mut printed = String::new();
        let mut stdout = self.0.stdout.take().unwrap();
        let read = stdout.read_to_string(&mut printed);
        tokio::time::timeout(PATIENCE, read).await.expect("python ends in time").unwrap();
        assert!(self.0.wait().await.unwrap().success());
        printed
    }
}

/// Connects to the address in the first word.
const CONNECT: &str = "
host, port = sys.argv[1].rsplit(':', 1)
peer = socket.create_connection((host, int(port)), timeout=20)
";
