//! Majordomo clients and workers of playhouse, with the words and the output of the C programs beside which they are measured:
//!
//! ```text
//! majordomo_peer client ENDPOINT SERVICE sync|window NUMBER BYTES REQUESTS [rate=N]
//! majordomo_peer worker ENDPOINT SERVICE [WORKERS]
//! ```
//!
//! In `CURVE_KEYS` there may be, as for these, the server's public key, one's own public and one's own secret key, with commas
//! between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use playhouse::mdp::protocol::ClientSettings;
use playhouse::mdp::transport::{Keys, Security, SocketSettings};
use playhouse::mdp::{Brokers, Caller, MdpWorker};
use playhouse::{Director, Event, Result, map, shutdown_signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests that are not counted.
const WARM_UP: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["worker", endpoint, service] => work(endpoint, service, 1).await,
        ["worker", endpoint, service, workers] => work(endpoint, service, number(workers)).await,
        ["client", endpoint, service, mode, at_once, bytes, requests, ref rest @ ..] => {
            assert!(matches!(mode, "sync" | "window"), "expected `sync` or `window`, found `{mode}`");
            let rate = rest.iter().find_map(|word| word.strip_prefix("rate=")).map(number);
            ask(endpoint, service, number(at_once), number(bytes), number(requests), rate).await
        }
        _ => panic!("expected `client` or `worker` with their words, found {words:?}"),
    }
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("expected a number, found `{word}`"))
}

fn socket() -> Result<SocketSettings> {
    let Ok(all) = std::env::var("CURVE_KEYS") else { return Ok(SocketSettings::default()) };
    let [server, public, secret] = all.split(',').collect::<Vec<_>>()[..] else {
        panic!("expected SERVER,PUBLIC,SECRET in CURVE_KEYS");
    };
    let security = Security::CurveClient { keys: Keys::from_text(public, secret)?, server: server.parse()? };
    Ok(SocketSettings { security, ..SocketSettings::default() })
}

async fn work(endpoint: &str, service: &str, workers: usize) -> Result<()> {
    let mut director = Director::new("worker");
    let worker = MdpWorker::new(service, Brokers::at(endpoint)?)?.concurrency(workers);
    let worker = director.register("worker", worker.socket(socket()?));
    let echo = director.register("echo", map(|request: &Event| request.clone()));
    director.connect(worker, echo);
    director.connect(echo, worker);
    director.build()?.run_until(shutdown_signal(), Duration::from_secs(1)).await?;
    Ok(())
}

struct Run {
    caller: Caller,
    service: String,
    body: Vec<u8>,
    next: AtomicUsize,
    requests: usize,
    times: Mutex<Vec<Duration>>,
}

impl Run {
    async fn ask(&self, due: Instant) -> Result<()> {
        let event = Event::new(self.body.clone());
        let reply = self.caller.call(&self.service, &event, PATIENCE).await?;
        assert!(reply.payload().to_bytes() == self.body, "the reply is not what was sent");
        self.times.lock().expect("nobody panics with it").push(due.elapsed());
        Ok(())
    }

    async fn ask_in_turn(&self) -> Result<()> {
        while self.next.fetch_add(1, Ordering::Relaxed) < self.requests {
            self.ask(Instant::now()).await?;
        }
        Ok(())
    }
}

async fn ask(
    endpoint: &str,
    service: &str,
    at_once: usize,
    bytes: usize,
    requests: usize,
    rate: Option<usize>,
) -> Result<()> {
    let run = |requests| -> Result<Arc<Run>> {
        Ok(Arc::new(Run {
            caller: Caller::with(&Brokers::at(endpoint)?, ClientSettings::default(), socket()?)?,
            service: service.to_owned(),
            body: vec![7; bytes],
            next: AtomicUsize::new(0),
            requests,
            times: Mutex::new(Vec::with_capacity(requests)),
        }))
    };
    let warm_up = run(WARM_UP)?;
    warm_up.ask_in_turn().await?;
    let run = run(requests)?;
    run.ask(Instant::now()).await?;
    run.times.lock().expect("nobody panics with it").clear();

    let began = Instant::now();
    let mut tasks = JoinSet::new();
    match rate {
        Some(rate) => {
            for index in 0..requests {
                let due = began + Duration::from_secs_f64(index as f64 / rate as f64);
                sleep_until(due).await;
                let run = run.clone();
                tasks.spawn(async move { run.ask(due).await });
            }
        }
        None => {
            for _ in 0..at_once {
                let run = run.clone();
                tasks.spawn(async move { run.ask_in_turn().await });
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a task panicked")?;
    }
    let rate = requests as f64 / began.elapsed().as_secs_f64();
    let mut times = run.times.lock().expect("nobody panics with it");
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100].as_micros();
    println!("answered {requests} rate {rate:.0} p50 {} p99 {}", at(50), at(99));
    Ok(())
}
