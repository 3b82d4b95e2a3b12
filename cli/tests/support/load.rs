//! Requests in numbers, and what became of them.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use playhouse::mdp::protocol::ClientSettings;
use playhouse::mdp::transport::SocketSettings;
use playhouse::mdp::{Brokers, Caller};

use super::peer::Client;

/// What became of many requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: usize,
    /// Not answered by their deadline.
    pub(crate) hung: usize,
    /// Whose connection ended, or that ended with an error, or whose answer was not what was sent.
    pub(crate) broken: Vec<String>,
    times: Vec<Duration>,
}

impl Tally {
    /// Returns the time that 99 of 100 answers did not exceed.
    pub(crate) fn p99(&mut self) -> Duration {
        self.times.sort();
        self.times
            .get((self.times.len() * 99 / 100).min(self.times.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.hung += other.hung;
        self.broken.extend(other.broken);
        self.times.extend(other.times);
    }
}

/// Asks `count` times for what is sent, on `clients` connections at once, each of which has `patience` with each request.
pub(crate) fn ask(endpoint: &str, service: &str, count: usize, clients: usize, patience: Duration) -> Tally {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let numbers = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
                let tally = ask_each(None, endpoint, service, std::iter::from_fn(numbers), patience);
                total.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Asks `count` times through one client of ours, with `at_once` requests under way, each of which has `patience`.
pub(crate) fn call(endpoint: &str, service: &str, count: usize, at_once: usize, patience: Duration) -> Tally {
    let next = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = ClientSettings { envelope: false, ..ClientSettings::default() };
        let caller = Caller::with(&Brokers::at(endpoint).unwrap(), settings, SocketSettings::default()).unwrap();
        let caller = Arc::new(caller);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..at_once {
            let (caller, next, service) = (caller.clone(), next.clone(), service.to_owned());
            tasks.spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return tally;
                    }
                    let text = format!("call {number}");
                    let began = Instant::now();
                    // Its own deadline is what is tested, so this one comes later.
                    let call = caller.frames(&service, vec![text.clone().into()], patience);
                    match tokio::time::timeout(patience + Duration::from_secs(2), call).await {
                        Ok(Ok(reply)) if reply == [text.as_bytes()] => {
                            tally.answered += 1;
                            tally.times.push(began.elapsed());
                        }
                        Ok(Ok(reply)) => tally.broken.push(format!("expected `{text}`, found {reply:?}")),
                        Ok(Err(error)) => tally.broken.push(format!("{} ({error})", error.kind())),
                        Err(_) => tally.hung += 1,
                    }
                }
            });
        }
        let mut total = Tally::default();
        while let Some(tally) = tasks.join_next().await {
            total.add(tally.unwrap());
        }
        total
    })
}

/// Has `client`, which is connected to `endpoint`, ask one by one until `ended`.
pub(crate) fn ask_until(
    client: Client,
    endpoint: &str,
    service: &str,
    ended: &AtomicBool,
    patience: Duration,
) -> Tally {
    let numbers = (0..).take_while(|_| !ended.load(Ordering::Relaxed));
    ask_each(Some(client), endpoint, service, numbers, patience)
}

fn ask_each(
    mut client: Option<Client>,
    endpoint: &str,
    service: &str,
    numbers: impl Iterator<Item = usize>,
    patience: Duration,
) -> Tally {
    let mut tally = Tally::default();
    for number in numbers {
        if client.is_none() {
            match Client::connect(endpoint) {
                Ok(connected) => client = Some(connected),
                Err(error) => {
                    tally.broken.push(format!("connecting: {error}"));
                    continue;
                }
            }
        }
        let began = Instant::now();
        match client.as_mut().unwrap().echo(service, &format!("request {number}"), patience) {
            Ok(()) => {
                tally.answered += 1;
                tally.times.push(began.elapsed());
            }
            Err(error) => {
                // A late answer must not be taken for the next one's.
                client = None;
                match error.kind() {
                    ErrorKind::TimedOut => tally.hung += 1,
                    _ => tally.broken.push(error.to_string()),
                }
            }
        }
    }
    tally
}
