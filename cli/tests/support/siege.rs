//! A broker under attack, with a good client that must notice nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::load::{ask, ask_until};
use super::peer::{Client, Worker};
use super::playhouse::{Server, serves};
use super::process::resident;

/// How much more memory a broker may hold, at any moment of an attack.
const MOST_GROWTH: u64 = 64 * 1024 * 1024;

/// For how long the good client is watched at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long the good client waits for one answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Attacks a broker while a good client asks, and prints how that one fared:
/// `HOSTILE <attack> answered N hung N p99 <quiet us> <attacked us> <ratio> memory <MiB>`.
///
/// The ratio is judged only where the environment says `PLAYHOUSE_JUDGE_SPEED`: as a rule other tests run at the same time.
#[track_caller]
pub(crate) fn siege(name: &str, broker: Server, attack: impl FnOnce(&str)) {
    siege_within(name, broker, MOST_GROWTH, attack);
}

/// Does so where the broker may come to hold `most_growth` bytes.
#[track_caller]
pub(crate) fn siege_within(name: &str, mut broker: Server, most_growth: u64, attack: impl FnOnce(&str)) {
    let endpoint = broker.endpoint.clone();
    let worker = Worker::start(&endpoint, "good");
    serves("good", &endpoint, PATIENCE);
    ask(&endpoint, "good", 100, 1, DEADLINE);
    let quiet = || ask(&endpoint, "good", 500, 1, DEADLINE).p99();
    let quiet_before = quiet();

    let id = broker.process.id();
    let before = resident(id);
    let most = AtomicU64::new(before);
    // The one who is there before the attack, with nothing of it under way yet.
    let mut client = Client::connect(&endpoint).unwrap();
    client.echo("good", "before the attack", DEADLINE).unwrap();
    let ended = AtomicBool::new(false);
    let mut tally = thread::scope(|scope| {
        let good = scope.spawn(|| ask_until(client, &endpoint, "good", &ended, DEADLINE));
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(resident(id), Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(20));
            }
        });
        // However the attack ends, the threads must.
        let end = OnDrop(&ended);
        let began = std::time::Instant::now();
        attack(&endpoint);
        while began.elapsed() < SHORTEST {
            thread::park_timeout(Duration::from_millis(10));
        }
        drop(end);
        good.join().unwrap()
    });
    let growth = most.load(Ordering::Relaxed).max(resident(id)).saturating_sub(before);
    // What else the machine does meets both figures, so the attacked one is judged by the worse of two quiet ones.
    let (quiet, attacked) = (quiet().max(quiet_before), tally.p99());
    let ratio = attacked.as_secs_f64() / quiet.as_secs_f64();
    println!(
        "HOSTILE {name} answered {} hung {} p99 {} {} {ratio:.1} memory {:.1}",
        tally.answered,
        tally.hung,
        quiet.as_micros(),
        attacked.as_micros(),
        growth as f64 / 1024.0 / 1024.0,
    );
    assert!(broker.process.is_running(), "the broker died");
    assert!(tally.answered > 0, "nothing was answered");
    assert_eq!((tally.hung, tally.broken), (0, vec![]));
    assert!(growth < most_growth, "the broker holds {growth} bytes more");
    // Somebody new is served, too.
    assert_eq!(ask(&endpoint, "good", 10, 1, DEADLINE).answered, 10);
    assert!(worker.served() > 0);
    if std::env::var_os("PLAYHOUSE_JUDGE_SPEED").is_some() {
        assert!(ratio < 10.0, "the good client's p99 went from {quiet:?} to {attacked:?}");
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
