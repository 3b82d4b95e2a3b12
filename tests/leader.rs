//! Runs three processes of the example `leader` and ends the one that leads, in three ways.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Kills the process when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    #[track_caller]
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// Starts members, and returns what they print with their numbers.
fn start(count: usize) -> (Vec<Running>, Receiver<(usize, String)>) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (sender, lines) = channel();
    let started = (0..count).map(|number| {
        // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.set_file_name("examples");
        path.push("leader");
        assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
        let mut process = Command::new(path).arg(port.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let (output, sender) = (BufReader::new(process.stdout.take().unwrap()), sender.clone());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send((number, line))));
        Running(process)
    });
    (started.collect(), lines)
}

/// Returns who prints the next tick, when it was due and in which term.
#[track_caller]
fn next(lines: &Receiver<(usize, String)>, begin: Instant) -> (usize, String, u64) {
    let left = PATIENCE.saturating_sub(begin.elapsed());
    let (number, line) = lines.recv_timeout(left).expect("a tick comes");
    let (time, term) = line.split_once(" in term ").unwrap();
    (number, time.to_owned(), term.parse().unwrap())
}

#[test]
fn each_second_ticks_once_in_three_processes_of_which_one_is_ended() {
    let (members, lines) = start(3);
    let begin = Instant::now();
    let mut ticks = vec![next(&lines, begin), next(&lines, begin)];
    let first = ticks[1].0;
    assert_eq!(ticks[0].0, first);
    members[first].signal("KILL");
    while ticks.len() < 5 {
        ticks.push(next(&lines, begin));
    }
    let second = ticks[4].0;
    assert_ne!(second, first);
    // One of three is no majority.
    members[second].signal("TERM");
    while let Ok((number, _)) = lines.recv_timeout(Duration::from_millis(2500)) {
        assert_eq!(number, second, "a minority ticks: {ticks:?}");
    }
    assert!(ticks.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].2 <= pair[1].2), "{ticks:?}");
}
