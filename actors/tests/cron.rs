//! When a cron pattern ticks, beside what Python says of it: by brute force over its `zoneinfo`, and by the package cronsim, which
//! does as Debian's cron. The zones are those of the package tzdata on both sides.

#![cfg(feature = "cron")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "oracles/python.rs"]
mod python;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use playhouse_actors::Cron;
use python::python;
use serde_json::{Value, json};

/// Set in the process that compares: it reads its zones from there.
const ZONES: &str = "TZDIR";

/// One with half an hour, one of 45 minutes, two with Ramadan, one with two hours, one with its winter as the exception, some that
/// change at midnight, and some that never change or ceased to.
const PLACES: [&str; 16] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Asia/Kolkata",
    "Antarctica/Troll",
    "Australia/Sydney",
    "Europe/Dublin",
    "Africa/Cairo",
    "America/Santiago",
    "America/Nuuk",
    "Asia/Almaty",
];

const FIXED: [&str; 5] = ["30 2 * * *", "0,15,45 1-3 * * *", "59 23 * * *", "10 0,1 * * 0,6", "5 2 1-7 * 0"];
const FOLLOWING: [&str; 5] = ["* * * * *", "*/20 2 * * *", "0 */2 * * *", "7-50/9 * * * *", "*/30 0-3 */2 * 0"];
const WITH_SECONDS: [&str; 3] = ["*/7 * * * * *", "0,20 30 2 * * *", "3 */10 1-3 * * *"];

struct Oracle(PathBuf);

impl Oracle {
    fn new() -> Self {
        Self(python(&["cronsim==2.8", "tzdata==2026.6"]))
    }

    fn zones(&self) -> String {
        let says = "import tzdata; print(tzdata.__path__[0] + '/zoneinfo')";
        let said = Command::new(&self.0).args(["-c", says]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn answers(&self, questions: &[Value]) -> Vec<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/cron_ticks.py");
        let mut process =
            Command::new(&self.0).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let asked: String = questions.iter().map(|question| format!("{question}\n")).collect();
        // They are few enough for the pipe.
        input.write_all(asked.as_bytes()).unwrap();
        drop(input);
        let said = process.wait_with_output().unwrap();
        assert!(said.status.success());
        String::from_utf8(said.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Compares, in a process that has the oracle's zones.
#[track_caller]
fn agrees(test: &str, questions: &[Value], least: usize) {
    let oracle = Oracle::new();
    if std::env::var_os(ZONES).is_none() {
        let again = std::env::current_exe().unwrap();
        let status = Command::new(again).args(["--exact", test]).env(ZONES, oracle.zones()).status().unwrap();
        assert!(status.success());
        return;
    }
    // Two at once: it takes its time.
    let (one, other) = questions.split_at(questions.len() / 2);
    let answers = std::thread::scope(|scope| {
        let other = scope.spawn(|| oracle.answers(other));
        let mut answers = oracle.answers(one);
        answers.extend(other.join().unwrap());
        answers
    });
    let mut compared = 0;
    for (question, answer) in questions.iter().zip(&answers) {
        let zone = question["zone"].as_str().unwrap();
        for window in answer.as_array().unwrap() {
            let pattern = window["pattern"].as_str().unwrap();
            let [from, until] = [0, 1].map(|end| window["window"][end].as_u64().unwrap());
            let cron = Cron { pattern: pattern.into(), zone: zone.into(), ..Cron::default() };
            let ours = cron.ticks(UNIX_EPOCH + Duration::from_secs(from - 1)).unwrap();
            let ours: Vec<_> = ours
                .map(|tick| tick.duration_since(UNIX_EPOCH).unwrap().as_secs())
                .take_while(|tick| *tick < until)
                .collect();
            let theirs: Vec<_> =
                window["ticks"].as_array().unwrap().iter().map(|tick| tick.as_u64().unwrap()).collect();
            assert!(ours == theirs, "`{pattern}` in {zone} from {from} to {until}: {ours:?} and not {theirs:?}");
            compared += ours.len();
        }
    }
    assert!(compared >= least, "only {compared} ticks");
    println!("{compared} ticks are the same");
}

#[test]
fn ticks_around_every_change_of_a_clock_in_twenty_years_are_those_of_brute_force() {
    let patterns: Vec<_> = FIXED.iter().chain(&FOLLOWING).chain(&WITH_SECONDS).collect();
    let questions = PLACES.map(|zone| json!({"zone": zone, "patterns": patterns}));
    agrees("ticks_around_every_change_of_a_clock_in_twenty_years_are_those_of_brute_force", &questions, 200_000);
}

#[test]
fn all_ticks_of_twenty_years_are_those_of_cronsim() {
    let patterns = ["30 2 * * *", "59 23 * * *", "10 0,1 * * 0,6", "5 2 1-7 * 0", "0 */6 * * 1"];
    // Python's `zoneinfo` is wrong about Nuuk's last hour before the zone's rules begin, in October of 2023, from the clock to UTC.
    let places = PLACES.into_iter().filter(|zone| *zone != "America/Nuuk");
    let asked = |pattern| places.clone().map(move |zone| json!({"zone": zone, "cronsim": pattern}));
    let questions: Vec<_> = patterns.into_iter().flat_map(asked).collect();
    agrees("all_ticks_of_twenty_years_are_those_of_cronsim", &questions, 200_000);
}
