//! Programs that go on running, each of which answers one event at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use playhouse_engine::{Error, Event, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::child::{Child, read_last};
use super::{ExecSettings, Plan, last_line, payload};

/// The programs that run and wait for an event: as many as there are workers at the most, because each takes one and puts it
/// back.
#[derive(Debug)]
pub(super) struct Residents {
    state: Mutex<State>,
    first_wait: Duration,
    longest_wait: Duration,
    grace: Duration,
}

#[derive(Debug)]
struct State {
    idle: Vec<Resident>,
    wait: Duration,
    /// When the next may be started.
    start: Instant,
}

#[derive(Debug)]
struct Resident {
    child: Child,
    printed: BytesMut,
    errors: Vec<u8>,
}

/// Why there is no answer.
enum Failure {
    Ended,
    TooLarge,
    /// It printed what nobody asked for.
    Unasked,
}

impl Residents {
    pub(super) fn new(settings: &ExecSettings) -> Self {
        let state = State { idle: Vec::new(), wait: Duration::ZERO, start: Instant::now() };
        let (first_wait, longest_wait, grace) = (settings.first_wait, settings.longest_wait, settings.grace);
        Self { state: Mutex::new(state), first_wait, longest_wait, grace }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the event to a program that runs, and returns its answer.
    pub(super) async fn ask(&self, plan: &Plan, event: &Event) -> Result<Event> {
        let mut line = event.payload().to_bytes().to_vec();
        if line.contains(&b'\n') {
            return Err(Error::unprocessable("expected a payload of one line, found a line break in it"));
        }
        line.push(b'\n');
        let deadline = plan.deadline(event);
        let Ok(resident) = timeout_at(deadline, self.take(plan)).await else {
            return Err(Error::unavailable(format!("`{}` ended too often, and is started again later", plan.name)));
        };
        let mut resident = resident?;
        let failure = match timeout_at(deadline, resident.exchange(&line, plan)).await {
            Ok(Ok(answer)) => {
                let mut state = self.state();
                state.wait = Duration::ZERO;
                state.idle.push(resident);
                drop(state);
                return Ok(event.derive(payload(answer)));
            }
            Ok(Err(failure)) => failure,
            Err(_) => {
                resident.child.end(self.grace).await;
                return Err(plan.took_too_long());
            }
        };
        self.has_ended();
        let name = &plan.name;
        let error = match failure {
            Failure::TooLarge => plan.printed_too_much(),
            Failure::Unasked => Error::unprocessable(format!("expected `{name}` to answer by one line, found more")),
            Failure::Ended => Error::unavailable(format!("`{name}` ended before it had answered")),
        };
        Err(match last_line(&String::from_utf8_lossy(&resident.errors)) {
            Some(line) => error.caused_by(line),
            None => error,
        })
    }

    /// Takes a program that waits, or starts one as soon as that may be.
    async fn take(&self, plan: &Plan) -> Result<Resident> {
        loop {
            let idle = self.state().idle.pop();
            let Some(resident) = idle else { break };
            if resident.is_ready() {
                return Ok(resident);
            }
            // It ended while it waited, or has said more than it was asked: neither harmed anybody.
        }
        let start = self.state().start;
        sleep_until(start).await;
        let child = Child::start(plan, None).inspect_err(|_| self.has_ended())?;
        Ok(Resident { child, printed: BytesMut::new(), errors: Vec::new() })
    }

    /// Notes that one has ended that should not have: each time, the next is started later.
    fn has_ended(&self) {
        let mut state = self.state();
        state.wait = (state.wait * 2).clamp(self.first_wait, self.longest_wait.max(self.first_wait));
        state.start = Instant::now() + state.wait;
    }

    /// Ends all that wait.
    pub(super) async fn end(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        for resident in idle {
            resident.child.retire(self.grace).await;
        }
    }
}

impl Resident {
    /// Says whether the program waits for a line: it has neither ended nor printed what nobody asked for.
    fn is_ready(&self) -> bool {
        // Asked of the system, for what the runtime knows may be of some time ago.
        let mut stdout = [PollFd::new(&self.child.stdout, PollFlags::IN)];
        matches!(poll(&mut stdout, Some(&Timespec::default())), Ok(0))
    }

    async fn exchange(&mut self, line: &[u8], plan: &Plan) -> Result<Vec<u8>, Failure> {
        let Self { child, printed, errors } = self;
        let (stdin, stdout, stderr) =
            (child.stdin.as_mut().ok_or(Failure::Ended)?, &mut child.stdout, &mut child.stderr);
        let largest = plan.settings.largest_output;
        let is_written = AtomicBool::new(false);
        let write = async {
            // Where it has ended, so has its output.
            is_written.store(stdin.write_all(line).await.is_ok(), Ordering::Relaxed);
            std::future::pending::<()>().await;
        };
        let complain = async {
            while let Ok(true) = read_last(stderr, errors, plan.settings.kept_errors).await {}
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut searched = 0;
            loop {
                if let Some(end) = printed[searched..].iter().position(|byte| *byte == b'\n') {
                    return Ok(searched + end);
                }
                searched = printed.len();
                if searched > largest {
                    return Err(Failure::TooLarge);
                }
                match stdout.read_buf(printed).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(Failure::Ended),
                }
            }
        };
        let end = tokio::select! {
            end = read => end,
            () = write => Err(Failure::Ended),
            () = complain => Err(Failure::Ended),
        };
        let end = match end {
            Err(Failure::Ended) => {
                // It may have said why.
                let _ = tokio::time::timeout(plan.settings.grace, async {
                    while let Ok(true) = read_last(stderr, errors, plan.settings.kept_errors).await {}
                })
                .await;
                return Err(Failure::Ended);
            }
            end => end?,
        };
        if end > largest {
            return Err(Failure::TooLarge);
        }
        let mut answer = printed.split_to(end).to_vec();
        printed.advance(1);
        if answer.last() == Some(&b'\r') {
            answer.pop();
        }
        // One that answers before it has the whole line would take the rest of it for the next.
        let is_in_step = printed.is_empty() && is_written.load(Ordering::Relaxed);
        if is_in_step { Ok(answer) } else { Err(Failure::Unasked) }
    }
}
