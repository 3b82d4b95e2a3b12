//! A process that stores requests is killed -9, again and again: every ticket that it told of is there afterwards.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod titanic_support;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use playhouse_mdp::titanic::TitanicSettings;
use titanic_support::Broker;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Names the folder for the process that is to be killed.
const FOLDER: &str = "PLAYHOUSE_TEST_TITANIC_FOLDER";
const ROUNDS: usize = 10;

fn settings() -> TitanicSettings {
    // Small files, so that it is killed while it compacts, too.
    TitanicSettings { disk_size: 16 << 20, segment_size: 64 << 10, ..TitanicSettings::default() }
}

/// Not a test, but the process that is killed: it prints each ticket that is acknowledged, and `closed` before each
/// that it has closed.
#[tokio::test]
async fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut broker = Broker::open(folder.as_ref(), &settings());
    let mut round = 0_usize;
    loop {
        for number in 0..50_usize {
            let body = Bytes::from(vec![b'x'; (number * 37) % 700]);
            broker.ask("titanic.request", vec![Bytes::from_static(b"echo"), body]);
        }
        let answers = broker.answers().await;
        let tickets = answers.iter().map(|answer| {
            assert_eq!(answer[0], "200");
            String::from_utf8(answer[1].to_vec()).unwrap()
        });
        let tickets: Vec<_> = tickets.collect();
        say(&tickets.iter().map(|ticket| format!("stored {ticket}\n")).collect::<String>());
        // Most are closed again, so that there is something to compact.
        let closed = &tickets[..if round.is_multiple_of(20) { 40 } else { 50 }];
        // It is in doubt from now on.
        say(&closed.iter().map(|ticket| format!("closing {ticket}\n")).collect::<String>());
        for ticket in closed {
            broker.ask("titanic.close", vec![Bytes::from(ticket.clone())]);
        }
        assert!(broker.answers().await.iter().all(|answer| answer[0] == "200"));
        say(&closed.iter().map(|ticket| format!("closed {ticket}\n")).collect::<String>());
        round += 1;
    }
}

fn say(lines: &str) {
    // Not through the test's capture, and gone when this returns.
    let mut output = std::io::stderr().lock();
    output.write_all(lines.as_bytes()).unwrap();
}

#[tokio::test]
async fn every_ticket_that_was_acknowledged_survives_a_kill() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut known = std::collections::BTreeMap::new();
    let (mut stored, mut kills) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut left = 2000 + round * 531;
        while let Some(line) = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.unwrap().unwrap()
        {
            let (state, ticket) = line.split_once(' ').expect("the victim fails only when it is killed");
            assert!(["stored", "closing", "closed"].contains(&state), "{line}");
            stored += usize::from(state == "stored");
            known.insert(ticket.to_owned(), state.to_owned());
            left -= 1;
            if left == 0 {
                child.start_kill().unwrap();
                kills += 1;
                // What it says until then counts, too.
                left = usize::MAX;
            }
        }
        child.wait().await.unwrap();
        let mut broker = Broker::open(folder.path(), &settings());
        for (ticket, state) in &known {
            let answer = broker.call("titanic.reply", &[ticket]).await;
            match state.as_str() {
                "stored" => assert_eq!(answer[0], "300", "`{ticket}` was acknowledged and is lost"),
                "closed" => assert_eq!(answer[0], "400", "`{ticket}` was closed and is back"),
                _ => {}
            }
        }
        broker.store.close().unwrap();
    }
    assert_eq!(kills, ROUNDS);
    assert!(stored > 5000, "{stored}");
    println!("{stored} requests, {kills} kills, 0 lost");
}
