//! The Majordomo examples as processes of their own.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use playhouse::mdp::{BrokerServer, ServerSettings};

fn example(name: &str) -> Command {
    // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(name);
    assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
    Command::new(path)
}

/// Kills the process when the test ends, however it ends.
struct Running(Child);

impl Running {
    fn end_by(&mut self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn curl(url: &str) -> String {
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "30", url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn one_process_answers_http_through_a_broker_and_ends_when_it_is_told_to() {
    let mut running =
        Running(example("majordomo").args(["--bind", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut first = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let url = first.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    for _ in 0..3 {
        assert_eq!(curl(&format!("{url}/test_service")), "Hello, this has been a test");
    }
    running.end_by("TERM");
}

#[tokio::test]
async fn a_client_calls_a_worker_through_a_broker_each_in_a_process_of_its_own() {
    let broker = BrokerServer::start(ServerSettings::bind("tcp://127.0.0.1:0").unwrap()).await.unwrap();
    let address = broker.endpoints()[0].to_string();
    let mut worker = Running(example("majordomo_worker").arg(&address).spawn().unwrap());
    let client = tokio::task::spawn_blocking(move || {
        example("majordomo_client").args([&address, "Ada", "Grace"]).stdout(Stdio::piped()).output().unwrap()
    });
    let output = client.await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Hello, Ada\nHello, Grace\n");
    tokio::task::spawn_blocking(move || worker.end_by("TERM")).await.unwrap();
    broker.stop(Duration::from_secs(5)).await.unwrap();
}
