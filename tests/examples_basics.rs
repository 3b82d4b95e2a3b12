//! Runs the examples as processes of their own, as a reader of their headers would.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// This example has a test of its own, which runs with these.
#[allow(dead_code, reason = "its `main` runs as a process")]
#[path = "../examples/custom_actor.rs"]
mod custom_actor;

#[track_caller]
fn example(name: &str) -> Command {
    // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
    Command::new(path)
}

/// Runs an example that ends by itself, and returns what it printed.
#[track_caller]
fn printed(name: &str) -> String {
    let output = example(name).stderr(Stdio::piped()).output().unwrap();
    assert!(
        output.status.success(),
        "{name} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Kills the process when the test ends, however it ends.
struct Running(Child);

impl Running {
    #[track_caller]
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

#[test]
#[cfg(unix)]
fn hello_prints_twice_each_second_until_it_is_told_to_end() {
    let begin = Instant::now();
    let mut running = Running(example("hello").stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let (mut one, mut two) = (0, 0);
    for line in lines {
        let line = line.unwrap();
        let (time, text) = line.strip_prefix('[').and_then(|line| line.split_once("] ")).unwrap();
        assert_eq!(time.len(), "2015-02-13 16:56:35.850659".len(), "{line}");
        match text {
            "I am number one: test" => one += 1,
            "I am number two: test" => two += 1,
            _ => panic!("unexpected: {line}"),
        }
        if one.min(two) == 3 {
            break;
        }
    }
    assert_eq!((one, two), (3, 3));
    assert!(begin.elapsed() < Duration::from_millis(3500), "it took {:?}", begin.elapsed());

    running.end_by("TERM");
}

#[test]
#[cfg(unix)]
fn hello_ends_by_an_interrupt_too() {
    let mut running = Running(example("hello").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    // What prints runs, so what ends runs too.
    lines.next().unwrap().unwrap();
    running.end_by("INT");
}

#[test]
fn custom_actor_counts_words() {
    assert_eq!(printed("custom_actor"), "to be or not to be: 6 words\n: 0 words\n");
}

#[test]
fn error_routes_lead_to_an_actor_that_tells_of_the_error() {
    let printed = printed("error_routes");
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    let expected = [
        "half of 8 is 4",
        "not halved: 7 (`7` is odd)",
        "not halved: seven (`seven` is not a number: invalid digit found in string)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn backpressure_keeps_the_source_at_the_pace_of_the_sink() {
    let printed = printed("backpressure");
    let most =
        printed.strip_prefix("sent 500, at most ").and_then(|rest| rest.strip_suffix(" of them waited\ntaken 500\n"));
    // The inbox holds 16; a worker may hold a batch of as many, and the source the event that it waits to send.
    let most = most.and_then(|most| most.parse::<u64>().ok());
    assert!(most.is_some_and(|most| most <= 2 * 16 + 2), "{printed}");
}

#[test]
fn crash_loses_nothing() {
    let printed = printed("crash");
    assert_eq!(printed, "handled 990, rescued 10\nledger: in=2000 delivered=1990 failed=10 dropped=0 in_flight=0\n");
}
