//! A process that ends with the test that started it, and whose every line is waited for with a deadline.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How much of what a process complains about is kept.
const COMPLAINTS: usize = 64 * 1024;

/// A running program. It is killed where this value is dropped; where a test fails, what it complained about is shown.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    complaints: Arc<Mutex<VecDeque<u8>>>,
    /// Ends when there are no more complaints to come.
    complaining: Receiver<()>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
    pub(crate) complaints: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let name = format!("{} {}", name.rsplit('/').next().unwrap(), words.join(" "));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("`{name}` does not start: {error}"));
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let mut errors = child.stderr.take().unwrap();
        let kept = complaints.clone();
        let (until_its_end, complaining) = channel::<()>();
        thread::spawn(move || {
            let _until_its_end = until_its_end;
            let mut space = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut space) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&space[..count]);
                let surplus = kept.len().saturating_sub(COMPLAINTS);
                kept.drain(..surplus);
            }
        });
        Self { name, child, lines, complaints, complaining }
    }

    /// Returns the next line that it says.
    #[track_caller]
    pub(crate) fn line(&self, patience: Duration) -> String {
        match self.lines.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("`{}` says nothing for {patience:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("`{}` says no more: {}", self.name, self.complaints()),
        }
    }

    /// Waits until it says `expected`, and passes over what it says before.
    #[track_caller]
    pub(crate) fn says(&self, expected: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.line(deadline.saturating_duration_since(Instant::now())) != expected {}
    }

    /// Writes to its standard input, which then ends.
    pub(crate) fn tell(&mut self, text: &[u8]) {
        self.child.stdin.take().unwrap().write_all(text).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it with SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        // It fails only where the process has ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits until it has ended, and returns all that it said.
    #[track_caller]
    pub(crate) fn ended(&mut self, patience: Duration) -> Ended {
        self.child.stdin.take();
        let what = format!("the end of `{}`", self.name);
        let status = super::eventually(&what, patience, || self.child.try_wait().unwrap());
        // What a child of its own holds open is not waited for.
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            lines.push(line);
        }
        let _ = self.complaining.recv_timeout(Duration::from_secs(1));
        Ended { code: status.code(), lines, complaints: self.complaints() }
    }

    /// Waits until it has ended well, and returns what it said.
    #[track_caller]
    pub(crate) fn succeeded(&mut self, patience: Duration) -> Vec<String> {
        let ended = self.ended(patience);
        assert_eq!(ended.code, Some(0), "`{}`: {ended:?}", self.name);
        ended.lines
    }

    pub(crate) fn complaints(&self) -> String {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.iter().map(|byte| char::from(*byte)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- `{}` complained:\n{}", self.name, self.complaints());
        }
    }
}

/// Returns how many bytes of memory the process `id` holds.
pub(crate) fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
