//! What a Majordomo broker does: ours beside one of the same duty in C on libzmq. `RATIO` lines are requests a second, larger
//! is better; the last word of a case names the library of the peers, and both brokers have the same peers where that is
//! libzmq, each its own where it is ours. `FIGURE <case> <value> <unit> <limit>` lines should be below their limit.

use std::error::Error;
use std::ffi::OsString;
use std::thread;
use std::time::Duration;

use playhouse_benches::mdp::{Broker, Library, Load, Maker, Measured, Workers, client_keys, measure};
use playhouse_benches::{Race, wanted};

/// Many short ones: what else the machine does seldom meets both halves of a round alike for long.
const ROUNDS: usize = 9;

/// What the C broker is called.
const PEER: &str = "libzmq";

/// How long many workers get to register.
const REGISTRATION: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    for library in [Library::Libzmq, Library::Ours] {
        let word = library.word();
        race(&format!("sync-16-{word}"), library, 1, &Load::window(1, 16, 5_000))?;
        race(&format!("window-100-16-{word}"), library, 4, &Load::window(100, 16, 20_000))?;
        race(&format!("window-100-1024-{word}"), library, 4, &Load::window(100, 1024, 20_000))?;
    }
    for (bytes, case) in [(16, "p99-16-libzmq"), (1024, "p99-1024-libzmq")] {
        if wanted(case) {
            p99_at_the_same_rate(case, bytes)?;
        }
    }
    if wanted("workers") {
        many_workers()?;
    }
    if wanted("durable") {
        durable()?;
    }
    if wanted("curve") {
        curve()?;
    }
    Ok(())
}

fn figure(case: &str, value: f64, unit: &str, limit: f64) {
    println!("FIGURE {case} {value:.3} {unit} {limit}");
}

/// A broker with workers.
struct Stage {
    broker: Broker,
    library: Library,
    keys: Option<String>,
    workers: Workers,
}

impl Stage {
    fn new(maker: Maker, library: Library, workers: usize) -> std::io::Result<Self> {
        Self::with(maker, library, workers, &[], None)
    }

    fn with(
        maker: Maker,
        library: Library,
        workers: usize,
        words: &[OsString],
        keys: Option<String>,
    ) -> std::io::Result<Self> {
        let broker = Broker::start(maker, words)?;
        let started = Workers::start(library, &broker, workers, keys.as_deref())?;
        Ok(Self { broker, library, keys, workers: started })
    }

    fn measure(&self, load: &Load) -> Measured {
        measure(self.library, &self.broker, Some(&self.workers), load, self.keys.as_deref())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Races our broker with peers on `library` against the one in C with peers on libzmq.
fn race(case: &str, library: Library, workers: usize, load: &Load) -> Result<(), Box<dyn Error>> {
    if !wanted(case) {
        return Ok(());
    }
    let (ours, theirs) =
        (Stage::new(Maker::Ours, library, workers)?, Stage::new(Maker::Peer, Library::Libzmq, workers)?);
    Race::new(case, "requests/s")
        .ours("", || ours.measure(load).rate)
        .peer(PEER, || theirs.measure(load).rate)
        .run(Duration::MAX, ROUNDS);
    Ok(())
}

/// How the slowest answers compare where both have the same to do: half of what the slower one can.
fn p99_at_the_same_rate(case: &str, bytes: usize) -> Result<(), Box<dyn Error>> {
    let stages = [Maker::Ours, Maker::Peer].map(|maker| Stage::new(maker, Library::Libzmq, 4));
    let [ours, theirs] = stages;
    let (ours, theirs) = (ours?, theirs?);
    let most = |stage: &Stage| stage.measure(&Load::window(100, bytes, 20_000)).rate;
    let rate = (most(&ours).min(most(&theirs)) / 2.0) as usize;
    let load = Load { rate: Some(rate), ..Load::window(1000, bytes, rate * 2) };
    eprintln!("{case}: {rate} requests/s, ours and theirs in turn");
    let ratios = (0..ROUNDS).map(|_| ours.measure(&load).p99 / theirs.measure(&load).p99).collect();
    figure(case, median(ratios), "of-theirs", 1.0);
    Ok(())
}

/// How the broker's time for a request grows with the number of workers that share the requests.
fn many_workers() -> Result<(), Box<dyn Error>> {
    const COUNTS: [usize; 4] = [1, 10, 100, 1000];
    // So few that each request is handled alone, whatever the number of workers.
    let load = Load { rate: Some(2000), ..Load::window(100, 16, 8000) };
    for (maker, name) in [(Maker::Ours, "workers"), (Maker::Peer, "workers-libzmq")] {
        let mut costs = Vec::new();
        for count in COUNTS {
            let stage = Stage::new(maker, Library::Libzmq, count)?;
            thread::sleep(REGISTRATION);
            let measured = (0..3).map(|_| {
                let before = stage.broker.cpu_time()?;
                let _ = stage.measure(&load);
                Ok((stage.broker.cpu_time()? - before).as_secs_f64() * 1e6 / load.requests as f64)
            });
            let cost = median(measured.collect::<std::io::Result<Vec<f64>>>()?);
            println!("FIGURE {name}-{count} {cost:.1} us-of-cpu-a-request -");
            costs.push(cost);
        }
        let growth = costs[COUNTS.len() - 1] / costs[0];
        figure(&format!("{name}-growth"), growth, "times", 1.5);
    }
    Ok(())
}

/// How long a durable request takes of the time of 256 clients until it is acknowledged, before anybody runs it and while four
/// workers do.
fn durable() -> Result<(), Box<dyn Error>> {
    let load = Load { clients: 256, durable: true, ..Load::window(1, 16, 40_000) };
    for (case, is_served) in [("durable-256", false), ("durable-256-served", true)] {
        // Beside the programs, which lie on a disk; a folder for temporary files may lie in memory.
        let program = std::env::current_exe()?;
        let directory = tempfile::tempdir_in(program.parent().unwrap_or(&program))?;
        let words = ["--durable".into(), directory.path().into()];
        let broker = Broker::start(Maker::Ours, &words)?;
        let workers = is_served.then(|| Workers::start(Library::Libzmq, &broker, 4, None)).transpose()?;
        let rates = (0..3).map(|_| measure(Library::Libzmq, &broker, workers.as_ref(), &load, None).rate).collect();
        let rate = median(rates);
        eprintln!("{case}: {rate:.0} acknowledged requests/s");
        figure(case, 1e6 / rate, "us-a-request", 50.0);
    }
    Ok(())
}

/// What encryption costs: how many times as many requests go through without it.
fn curve() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("keys.toml");
    let keys = client_keys(&file)?;
    let words = ["--curve-keys".into(), file.into_os_string()];
    for library in [Library::Libzmq, Library::Ours] {
        let on = Stage::with(Maker::Ours, library, 4, &words, Some(keys.clone()))?;
        let off = Stage::new(Maker::Ours, library, 4)?;
        for (case, load) in [
            ("curve-window-100-16", Load::window(100, 16, 40_000)),
            ("curve-window-100-1024", Load::window(100, 1024, 40_000)),
            ("curve-sync-16", Load::window(1, 16, 10_000)),
        ] {
            let case = format!("{case}-{}", library.word());
            eprintln!("{case}: with and without encryption in turn");
            let ratios = (0..ROUNDS).map(|_| 1.0 / (on.measure(&load).rate / off.measure(&load).rate)).collect();
            figure(&case, median(ratios), "times", 2.0);
        }
    }
    Ok(())
}
