//! Leaders in processes of their own that are killed, stopped and cut off. Each test of that kind prints how long it took until
//! another led; `PLAYHOUSE_KILLS=20` makes more of it.

#![cfg(all(feature = "leader", unix))]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "leader_support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use playhouse_actors::{Fence, Leader, LeaderSettings, Members};
use playhouse_engine::Event;
use playhouse_engine::testing::{self, Probe};
use serde_json::json;

use support::namespace::{FAR, NEAR, Namespaces};
use support::{Cluster, INTERVAL, LEASE, PATIENCE, Tick, different, ports, settings};

/// The others notice after a lease, one of them asks within half an interval, and a busy machine takes its time.
const FAIL_OVER: Duration = Duration::from_millis(LEASE.as_millis() as u64 * 3);

fn rounds() -> usize {
    std::env::var("PLAYHOUSE_KILLS").map_or(2, |rounds| rounds.parse().unwrap())
}

/// Lets all that came through a fence, and returns how many ticks were let through. None comes twice, and no term falls.
async fn fenced(ticks: &[Tick]) -> usize {
    let fence = Fence::default();
    let (mut passed, mut last) = (HashSet::new(), 0);
    for tick in ticks {
        let event =
            Event::new("tick").with_attribute("tick.time", tick.time.clone()).with_attribute("leader.term", tick.term);
        if testing::feed(&fence, event).await.is_ok() {
            assert!(passed.insert(&tick.time), "{tick:?} came twice");
            assert!(tick.term >= last, "{tick:?} after {last}");
            last = tick.term;
        }
    }
    passed.len()
}

#[test]
fn a_member() {
    support::be_a_member();
}

#[tokio::test]
async fn when_the_leader_is_killed_another_leads_and_no_tick_comes_twice() {
    let mut cluster = Cluster::start(3, |_, _| None);
    let mut times = Vec::new();
    let mut ticks = Vec::new();
    for _ in 0..rounds() {
        let leader = cluster.leader(&mut ticks, None);
        cluster.members[leader].kill();
        let began = Instant::now();
        let next = cluster.leader(&mut ticks, Some(leader));
        times.push(began.elapsed().as_millis());
        assert_ne!(next, leader);
        cluster.restart(leader);
        // It must be able to vote again before the next one is killed.
        cluster.collect(&mut ticks, LEASE * 2);
    }
    println!("LEADER killed: another leads after {times:?} ms");
    assert!(times.iter().all(|time| Duration::from_millis(*time as u64) < FAIL_OVER), "{times:?}");
    assert_eq!(fenced(&ticks).await, ticks.len(), "the fence had nothing to do");
}

#[tokio::test]
async fn a_leader_that_stands_still_and_wakes_up_does_not_tick_beside_the_next() {
    let cluster = Cluster::start(3, |_, _| None);
    let (mut times, mut ticks) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let leader = cluster.leader(&mut ticks, None);
        cluster.members[leader].signal("STOP");
        let began = Instant::now();
        let next = cluster.leader(&mut ticks, Some(leader));
        times.push(began.elapsed().as_millis());
        cluster.members[leader].signal("CONT");
        let before = ticks.len();
        cluster.collect(&mut ticks, LEASE);
        let after: Vec<_> = ticks[before..].iter().filter(|tick| tick.member == leader).collect();
        // At most what it was about to write when it was stopped: that is for the fence.
        assert!(after.len() <= 1, "{after:?} beside {next}");
    }
    println!("LEADER stopped: another leads after {times:?} ms");
    let passed = fenced(&ticks).await;
    assert!(ticks.len() - passed <= rounds(), "{} of {}", passed, ticks.len());
}

#[tokio::test]
async fn a_leader_whose_flow_stops_is_followed_at_once() {
    let mut cluster = Cluster::start(3, |_, _| None);
    let mut ticks = Vec::new();
    let leader = cluster.leader(&mut ticks, None);
    cluster.members[leader].stop();
    let began = Instant::now();
    cluster.leader(&mut ticks, Some(leader));
    let time = began.elapsed();
    println!("LEADER went: another leads after {} ms", time.as_millis());
    assert!(time < LEASE, "{time:?}");
    assert!(cluster.members[leader].ended_well());
    // The next one may lead before its own tick of that moment has come.
    assert_eq!(fenced(&ticks).await, different(&ticks));
}

#[tokio::test]
async fn processes_of_one_host_share_a_port_by_the_loopback_broadcast() {
    sharing("127.255.255.255").await;
}

#[tokio::test]
async fn processes_share_a_port_by_a_multicast_group() {
    sharing("239.255.77.7").await;
}

async fn sharing(ip: &str) {
    let address = format!("{ip}:{}", ports(1)[0]);
    let mut cluster = Cluster::start(2, |_, settings| {
        settings.listen = address.parse().unwrap();
        settings.peers = vec![address.parse().unwrap()];
        Some(Members::Unknown)
    });
    let mut ticks = Vec::new();
    let leader = cluster.leader(&mut ticks, None);
    cluster.collect(&mut ticks, LEASE);
    assert!(ticks.iter().all(|tick| tick.member == leader));
    cluster.members[leader].kill();
    assert_ne!(cluster.leader(&mut ticks, Some(leader)), leader);
    assert_eq!(fenced(&ticks).await, ticks.len());
}

#[tokio::test]
async fn the_smaller_side_of_a_cut_network_never_ticks() {
    let Some(namespaces) = Namespaces::new() else {
        println!("SKIPPED the_smaller_side_of_a_cut_network_never_ticks: network namespaces need root and `ip`");
        return;
    };
    let addresses = [format!("{NEAR}:7001"), format!("{FAR}:7001"), format!("{FAR}:7002")];
    let within =
        |number: usize, command: &Command| if number == 0 { namespaces.near(command) } else { namespaces.far(command) };
    let (mut times, mut ticks) = (Vec::new(), Vec::new());
    let mut cluster = Cluster::start_within(3, within, |number, settings| {
        settings.listen = addresses[number].parse().unwrap();
        settings.peers = addresses.iter().map(|address| address.parse().unwrap()).collect();
        None
    });
    // Until the one that is alone leads, the others are killed.
    let mut leader = cluster.leader(&mut ticks, None);
    while leader != 0 {
        cluster.members[leader].kill();
        leader = cluster.leader(&mut ticks, Some(leader));
        (1..3).for_each(|number| cluster.restart(number));
        cluster.collect(&mut ticks, LEASE * 2);
    }
    for _ in 0..rounds() / 2 {
        namespaces.cut();
        let began = Instant::now();
        let next = cluster.leader(&mut ticks, Some(0));
        times.push(began.elapsed().as_millis());
        assert_ne!(next, 0);
        let before = ticks.len();
        cluster.collect(&mut ticks, LEASE * 2);
        assert!(ticks[before..].iter().all(|tick| tick.member != 0), "the smaller side ticked");
        namespaces.mend();
        let before = ticks.len();
        cluster.collect(&mut ticks, LEASE * 2);
        assert!(ticks[before..].iter().all(|tick| tick.member == next), "a mended network needs no other leader");
        // Once more, with the link's other end alone.
        while cluster.leader(&mut ticks, None) != 0 {
            let leader = cluster.leader(&mut ticks, None);
            cluster.members[leader].kill();
            cluster.leader(&mut ticks, Some(leader));
            cluster.restart(leader);
            cluster.collect(&mut ticks, LEASE * 2);
        }
    }
    println!("LEADER cut off: another leads after {times:?} ms");
    assert_eq!(fenced(&ticks).await, ticks.len());
}

/// A member in this process, at a free port, with the Python one.
fn beside_python(python: u16) -> (LeaderSettings, u16) {
    let port = ports(1)[0];
    let mut settings = settings(&[port, python]);
    settings.listen = format!("127.0.0.1:{port}").parse().unwrap();
    settings.key = Some("a key for tests, of 32 bytes or more".into());
    (settings, port)
}

#[tokio::test]
async fn a_member_in_python_votes_and_without_its_vote_nobody_leads() {
    let python = ports(1)[0];
    let (settings, port) = beside_python(python);
    let leader = Leader::new("orders", Members::Known(2), settings.clone()).unwrap();
    let status = leader.status();
    let mut probe = Probe::new(leader).await.unwrap();
    probe.send(Event::new("early")).await.unwrap();
    probe.output_from("standby").await.unwrap();
    let voter = json!({
        "listen": python, "peer": port, "service": "orders", "scope": "test", "members": 2, "key": settings.key,
        "lease": LEASE.as_micros() as u64, "interval": INTERVAL.as_millis() as u64,
    });
    let mut voter = support::python("leader_voter.py", &voter);
    tokio::time::timeout(PATIENCE, status.wait_until_leader()).await.unwrap();
    probe.send(Event::new("now")).await.unwrap();
    let event = probe.output().await.unwrap();
    let term = event.attribute("leader.term").unwrap().as_integer().unwrap();
    assert_eq!(u64::try_from(term).ok(), status.term());
    let began = Instant::now();
    voter.kill().unwrap();
    voter.wait().unwrap();
    tokio::time::timeout(PATIENCE, status.wait_until_standby()).await.unwrap();
    assert!(began.elapsed() < LEASE * 2, "{:?}", began.elapsed());
    assert_eq!(status.term(), None);
    probe.send(Event::new("late")).await.unwrap();
    probe.output_from("standby").await.unwrap();
    assert_eq!(status.refused().get(), 2);
    assert!(probe.stop().await.unwrap().balances());
}

// The member needs a thread while the test waits for the attacker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_garbage_forgeries_and_repetitions_moves_nothing() {
    let python = ports(1)[0];
    let (settings, port) = beside_python(python);
    // It needs no vote, and whoever is believed could take the lease from it.
    let leader = Leader::new("orders", Members::Unknown, settings.clone()).unwrap();
    let status = leader.status();
    let mut probe = Probe::new(leader).await.unwrap();
    tokio::time::timeout(PATIENCE, status.wait_until_leader()).await.unwrap();
    let term = status.term();
    let attack = json!({
        "listen": python, "peer": port, "service": "orders", "scope": "test", "members": 0,
        "lease": LEASE.as_micros() as u64, "attack": 4000,
    });
    let ended = support::python("leader_voter.py", &attack).wait().unwrap();
    assert!(ended.success());
    let deadline = Instant::now() + PATIENCE;
    // The socket's buffer may have lost some.
    while status.datagrams().ignored < 500 {
        assert!(Instant::now() < deadline, "{:?}", status.datagrams());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    probe.send(Event::new("through")).await.unwrap();
    probe.output().await.unwrap();
    assert_eq!(status.term(), term);
    assert!(status.datagrams().foreign > 0, "{:?}", status.datagrams());
    assert!(probe.stop().await.unwrap().balances());
}

#[tokio::test]
async fn an_address_that_is_taken_stops_the_start_of_the_flow() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = LeaderSettings { listen: taken.local_addr().unwrap(), ..settings(&[port]) };
    let leader = Leader::new("orders", Members::Known(1), settings).unwrap();
    let Err(error) = Probe::new(leader).await else { panic!("it started") };
    assert!(format!("{error:?}").contains("cannot be listened at"), "{error:?}");
}

#[tokio::test]
async fn one_member_alone_passes_all_once_it_leads() {
    let settings = settings(&ports(1));
    let leader = Leader::new("orders", Members::Known(1), settings).unwrap();
    let status = leader.status();
    let mut director = playhouse_engine::Director::new("alone");
    let (sender, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let source = director.register("source", playhouse_actors::Generator::every(Duration::from_millis(1), "tick"));
    let leader = director.register("leader", leader);
    let end =
        playhouse_engine::sink(move |_: &Event| sender.send(()).map_err(|_| playhouse_engine::Error::gone("over")));
    let end = director.register("end", end);
    director.connect(source, leader);
    director.connect(leader, end);
    let running = director.build().unwrap().start().await.unwrap();
    for _ in 0..100 {
        tokio::time::timeout(PATIENCE, taken.recv()).await.unwrap().unwrap();
    }
    assert!(status.refused().get() > 0, "it led before its time");
    let ledger = running.stop(PATIENCE).await.unwrap();
    assert!(!status.is_leader());
    assert!(ledger.balances() && ledger.in_flight == 0 && ledger.dropped == 0, "{ledger}");
}

#[test]
fn settings_that_make_no_sense_are_refused_all_at_once() {
    let settings = LeaderSettings {
        interval: Duration::from_millis(1),
        burn_in: Duration::from_secs(1),
        peers: vec!["[::1]:5".parse().unwrap(), "10.0.0.1:0".parse().unwrap()],
        key: Some("short".into()),
        ..LeaderSettings::default()
    };
    let error = Leader::new("", Members::Known(0), settings).unwrap_err();
    for part in ["`service`", "`members`", "`interval`", "`burn-in`", "[::1]:5", "10.0.0.1:0", "`key`"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    let endless = LeaderSettings { interval: Duration::MAX, ..LeaderSettings::default() };
    let error = Leader::new("orders", Members::Known(66), endless).unwrap_err();
    for part in ["`members`: expected 65 at most", "`interval`: expected more than nothing", "`lease`: expected three"]
    {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    assert!(Leader::new("orders", Members::Known(65), LeaderSettings::default()).is_ok());
    let settings: LeaderSettings =
        toml::from_str("scope = 'test'\nlease = '2s'\ninterval = '200ms'\npeers = ['10.0.0.9:1']").unwrap();
    assert_eq!((settings.scope.as_str(), settings.lease), ("test", Duration::from_secs(2)));
    let key = LeaderSettings { key: Some("a secret".into()), ..settings };
    assert!(!format!("{key:?}").contains("a secret"));
}
