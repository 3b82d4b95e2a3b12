//! What happens when processes are killed and links are cut under load: no request hangs, what was promised is kept, and
//! everything recovers by itself within ten seconds.
//!
//! Each test prints a line with what it counted. Short as they are in the ordinary run, the environment makes them longer:
//! `PLAYHOUSE_REQUESTS=10000 PLAYHOUSE_KILL_EVERY=2000 cargo test --release -p playhouse-cli --test faults killed_workers --
//! --nocapture`, and `PLAYHOUSE_REQUESTS=100000 PLAYHOUSE_KILLS=20` for the durable one.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::load::{self, Tally, ask};
use support::namespace::{FAR, Namespaces};
use support::peer::{Client, Worker};
use support::playhouse::{Server, call, playhouse, serves, worker};
use support::process::Process;
use support::{PATIENCE, eventually, number};

/// Within what time everything is as before.
const RECOVERY: Duration = Duration::from_secs(10);

/// Returns how often something is killed.
fn kill_every(milliseconds: usize) -> Duration {
    Duration::from_millis(number("PLAYHOUSE_KILL_EVERY", milliseconds) as u64)
}

/// Kills one of three workers again and again while `ask` puts load on the broker.
#[track_caller]
fn kill_workers(by: &str, ask: impl FnOnce(&str, usize) -> Tally) {
    let requests = number("PLAYHOUSE_REQUESTS", 1500);
    let pause = kill_every(300);
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let mut workers: Vec<_> = (0..3).map(|_| worker("jobs", endpoint, &[])).collect();
    serves("jobs", endpoint, PATIENCE);
    let ended = AtomicBool::new(false);
    let (tally, killed) = thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut killed = 0;
            while !ended.load(Ordering::Relaxed) {
                thread::park_timeout(pause);
                workers[killed % 3].kill();
                workers[killed % 3] = worker("jobs", endpoint, &[]);
                killed += 1;
            }
            killed
        });
        let tally = ask(endpoint, requests);
        ended.store(true, Ordering::Relaxed);
        (tally, killer.join().unwrap())
    });
    let (lost, hung, failed) = (requests - tally.answered, tally.hung, tally.broken.len());
    println!("FAULT killed-workers-{by} requests {requests} lost {lost} failed {failed} hung {hung} killed {killed}");
    assert!(killed > 0);
    assert_eq!((lost, hung, tally.broken), (0, 0, vec![]));
}

#[test]
fn no_request_of_a_foreign_client_is_lost_with_killed_workers() {
    kill_workers("foreign", |endpoint, requests| ask(endpoint, "jobs", requests, 8, Duration::from_secs(30)));
}

#[test]
fn no_request_of_ours_is_lost_with_killed_workers() {
    kill_workers("ours", |endpoint, requests| load::call(endpoint, "jobs", requests, 8, Duration::from_secs(30)));
}

#[test]
fn calls_under_load_end_by_their_deadlines_whatever_becomes_of_the_broker() {
    let requests = number("PLAYHOUSE_REQUESTS", 20_000);
    let kills = number("PLAYHOUSE_KILLS", 3);
    let patience = Duration::from_secs(2);
    let mut broker = Server::broker(&[]);
    let endpoint = broker.endpoint.clone();
    let _workers: Vec<_> = (0..3).map(|_| Worker::start(&endpoint, "jobs")).collect();
    serves("jobs", &endpoint, PATIENCE);
    let tally = thread::scope(|scope| {
        let calls = scope.spawn(|| load::call(&endpoint, "jobs", requests, 16, patience));
        for _ in 0..kills {
            thread::park_timeout(kill_every(500));
            broker.process.kill();
            broker = Server::broker_at(&endpoint, &[]);
        }
        calls.join().unwrap()
    });
    let (answered, failed, hung) = (tally.answered, tally.broken.len(), tally.hung);
    println!(
        "FAULT killed-broker-calls requests {requests} answered {answered} failed {failed} hung {hung} killed {kills}"
    );
    let is_typed = |error: &String| error.starts_with("timeout (") || error.starts_with("unavailable (");
    assert!(tally.broken.iter().all(is_typed), "{:?}", tally.broken);
    assert_eq!((hung, answered + failed), (0, requests));
    // Only what was under way at a kill may fail, and not what comes after it.
    assert!(failed <= kills * 16 * 3, "{failed} failed");
}

/// A request that the broker has promised to keep.
struct Promise {
    ticket: Vec<u8>,
    body: String,
}

/// Asks for durable requests one by one until `promised` holds `count` of them, or time is up; connects again whenever the
/// broker is gone.
fn submit(endpoint: &str, next: &AtomicUsize, promised: &Mutex<Vec<Promise>>, count: usize, deadline: Instant) {
    let mut client = None;
    while promised.lock().unwrap().len() < count && Instant::now() < deadline {
        let body = format!("durable {}", next.fetch_add(1, Ordering::Relaxed));
        let connected = match client.take() {
            Some(connected) => Ok(connected),
            None => Client::connect(endpoint),
        };
        let Ok(mut connected) = connected else {
            thread::park_timeout(Duration::from_millis(10));
            continue;
        };
        match connected.ask("titanic.request", &["jobs", &body], Duration::from_secs(5)) {
            Ok(reply) if reply.len() == 2 && reply[0] == b"200" => {
                promised.lock().unwrap().push(Promise { ticket: reply[1].clone(), body });
                client = Some(connected);
            }
            // 500: not now.
            Ok(_) => client = Some(connected),
            // It was killed before it had promised anything.
            Err(_) => {}
        }
    }
}

/// Takes the reply to each promise, and returns how many there were of each code: 200 is counted only where the reply is right.
fn collect(endpoint: &str, promised: &[Promise], patience: Duration) -> HashMap<String, usize> {
    let deadline = Instant::now() + patience;
    let mut client = Client::connect(endpoint).unwrap();
    let mut codes = HashMap::new();
    for promise in promised {
        let code = loop {
            let reply = client.ask("titanic.reply", &[&promise.ticket], PATIENCE).unwrap();
            match String::from_utf8_lossy(&reply[0]).as_ref() {
                "200" if reply[1..] == [promise.body.as_bytes()] => break "200".to_owned(),
                "200" => break "wrong".to_owned(),
                "300" if Instant::now() < deadline => thread::park_timeout(Duration::from_millis(20)),
                code => break code.to_owned(),
            }
        };
        *codes.entry(code).or_insert(0) += 1;
    }
    codes
}

#[test]
fn what_a_durable_broker_has_acknowledged_outlives_its_kills() {
    let requests = number("PLAYHOUSE_REQUESTS", 2000);
    let kills = number("PLAYHOUSE_KILLS", 5);
    let clients = number("PLAYHOUSE_CLIENTS", 8);
    let pause = kill_every(300);
    let directory = tempfile::tempdir().unwrap();
    let durable = ["--durable", directory.path().to_str().unwrap()];
    let mut broker = Server::broker(&durable);
    let endpoint = broker.endpoint.clone();
    let _workers: Vec<_> = (0..3).map(|_| Worker::start(&endpoint, "jobs")).collect();
    serves("jobs", &endpoint, PATIENCE);
    let (next, promised) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (mut killed, mut slowest) = (0, Duration::ZERO);
    let time = Duration::from_millis(60_000 + 5 * requests as u64);
    let deadline = Instant::now() + time;
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| submit(&endpoint, &next, &promised, requests, deadline));
        }
        let promised_now = || promised.lock().unwrap().len();
        // Each kill meets a broker that has just promised something, and the last one comes before the last promise.
        while killed < kills {
            let before = promised_now();
            eventually("the broker promises again", PATIENCE, || {
                (promised_now() > before.min(requests - 1)).then_some(())
            });
            thread::park_timeout(pause);
            broker.process.kill();
            let died = Instant::now();
            broker = Server::broker_at(&endpoint, &durable);
            slowest = slowest.max(died.elapsed());
            killed += 1;
        }
    });
    let promised = promised.into_inner().unwrap();
    let codes = collect(&endpoint, &promised, time);
    let kept = codes.get("200").copied().unwrap_or_default();
    let (acknowledged, lost) = (promised.len(), promised.len() - kept);
    println!(
        "FAULT killed-broker acknowledged {acknowledged} lost {lost} killed {killed} slowest-start-ms {}",
        slowest.as_millis()
    );
    assert_eq!(lost, 0, "{codes:?}");
    assert!(acknowledged >= requests);
}

#[test]
fn a_call_whose_broker_is_killed_ends_by_its_deadline() {
    let mut broker = Server::broker(&[]);
    let endpoint = broker.endpoint.clone();
    // Nobody serves it, so that it waits.
    let words = ["call", "nobody", "body", "--broker", &endpoint, "--timeout", "3s"];
    let mut calls: Vec<_> = (0..5).map(|_| Process::start(&mut playhouse(&words))).collect();
    let began = Instant::now();
    eventually("the calls wait", PATIENCE, || (waiting("nobody", &endpoint)? == 5).then_some(()));
    broker.process.kill();
    for one in &mut calls {
        let ended = one.ended(PATIENCE);
        assert!(matches!(ended.code, Some(15 | 23)), "a time-out or an unavailable broker: {ended:?}");
    }
    println!("FAULT call-without-broker calls 5 hung 0 ended-after-ms {}", began.elapsed().as_millis());
}

/// Returns how many requests wait for a service, as the broker tells it.
fn waiting(service: &str, endpoint: &str) -> Option<u64> {
    let lines = call("mmi.stats", "?", endpoint, &[]);
    let statistics: serde_json::Value = lines.iter().find_map(|line| serde_json::from_str(line).ok())?;
    let services = statistics["services"].as_array()?;
    services.iter().find(|one| one["service"] == service)?["queued"].as_u64()
}

#[test]
fn workers_and_calls_go_on_after_a_broker_was_killed() {
    let mut broker = Server::broker(&[]);
    let endpoint = broker.endpoint.clone();
    let _workers: Vec<_> = (0..3).map(|_| worker("jobs", &endpoint, &["--concurrency", "2"])).collect();
    serves("jobs", &endpoint, PATIENCE);
    let mut slowest = Duration::ZERO;
    for _ in 0..number("PLAYHOUSE_KILLS", 2) {
        broker.process.kill();
        broker = Server::broker_at(&endpoint, &[]);
        let began = Instant::now();
        serves("jobs", &endpoint, RECOVERY);
        slowest = slowest.max(began.elapsed());
        assert_eq!(call("jobs", "again", &endpoint, &[]), ["again"]);
    }
    println!("FAULT restarted-broker slowest-recovery-ms {}", slowest.as_millis());
}

#[test]
fn a_broker_outlives_clients_that_are_killed_while_they_wait() {
    let broker = Server::broker(&[]);
    let endpoint = broker.endpoint.as_str();
    let words = ["worker", "slow", "--broker", endpoint, "--", "sh", "-c", "sleep 0.05; cat"];
    let _worker = Process::start(&mut playhouse(&words));
    serves("slow", endpoint, PATIENCE);
    let words = ["call", "slow", "body", "--broker", endpoint];
    let mut calls: Vec<_> = (0..20).map(|_| Process::start(&mut playhouse(&words))).collect();
    eventually("the calls wait", PATIENCE, || waiting("slow", endpoint).filter(|waiting| *waiting > 5));
    for one in &mut calls {
        one.kill();
    }
    let began = Instant::now();
    let call = &mut playhouse(&["call", "slow", "after them", "--broker", endpoint]);
    assert_eq!(Process::start(call).succeeded(RECOVERY), ["after them"]);
    println!("FAULT killed-clients killed 20 next-answer-ms {}", began.elapsed().as_millis());
}

#[test]
fn workers_and_calls_follow_the_registry_from_broker_to_broker_and_outlive_its_kill() {
    let mut registry = Server::start(&mut playhouse(&["registry", "--bind", "tcp://127.0.0.1:0"]));
    let at = registry.endpoint.clone();
    let follow = ["--registry", at.as_str()];
    let mut first = Server::broker(&follow);
    let words = ["worker", "jobs", "--registry", &at, "--", "cat"];
    let _worker = Process::start(&mut playhouse(&words));
    let answered = |text: &str| {
        let words = ["call", "jobs", text, "--registry", &at, "--timeout", "2s"];
        let ended = Process::start(&mut playhouse(&words)).ended(PATIENCE);
        (ended.code == Some(0) && ended.lines == [text]).then_some(())
    };
    eventually("the first answer", RECOVERY, || answered("first"));

    let _second = Server::broker(&follow);
    first.process.kill();
    let began = Instant::now();
    // Whichever broker a call takes, it is one that lives: by chance it may be so at once.
    eventually("answers through the second broker", RECOVERY, || (0..4).try_for_each(|_| answered("second")));
    let by_second = began.elapsed();

    registry.process.kill();
    // The worker and the broker go on without it.
    let _registry = Server::start(&mut playhouse(&["registry", "--bind", &at]));
    let began = Instant::now();
    eventually("an answer through the new registry", RECOVERY, || answered("third"));
    let after_registry = began.elapsed();
    println!("FAULT registry next-broker-ms {} restarted-ms {}", by_second.as_millis(), after_registry.as_millis());
}

#[test]
fn a_link_that_was_cut_and_mended_is_used_again() {
    let Some(namespaces) = Namespaces::new() else {
        println!("SKIPPED a_link_that_was_cut_and_mended_is_used_again: network namespaces need root and `ip`");
        return;
    };
    let cut = Duration::from_millis(number("PLAYHOUSE_CUT", 3000) as u64);
    let broker = playhouse(&["broker", "--bind", &format!("tcp://{FAR}:0"), "--insecure"]);
    let broker = Server::start(&mut namespaces.far(&broker));
    let endpoint = broker.endpoint.as_str();
    let start = |command: &Command| Process::start(&mut namespaces.near(command));
    let _worker = start(&playhouse(&["worker", "jobs", "--broker", endpoint, "--", "cat"]));
    let answered = |text: &str| {
        let words = ["call", "jobs", text, "--broker", endpoint, "--timeout", "2s"];
        let ended = start(&playhouse(&words)).ended(PATIENCE);
        (ended.code == Some(0) && ended.lines == [text]).then_some(())
    };
    eventually("the first answer", RECOVERY, || answered("before"));
    namespaces.cut();
    let during =
        start(&playhouse(&["call", "jobs", "during", "--broker", endpoint, "--timeout", "2s"])).ended(PATIENCE);
    assert!(matches!(during.code, Some(15 | 23)), "{during:?}");
    thread::park_timeout(cut);
    namespaces.mend();
    let began = Instant::now();
    eventually("an answer over the mended link", RECOVERY, || answered("after"));
    println!("FAULT cut-link cut-ms {} recovery-ms {}", cut.as_millis() + 2000, began.elapsed().as_millis());
}
