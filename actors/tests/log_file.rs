//! Logs of flows in files that are rotated, by the actor and by others.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod files_support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use files_support::{PATIENCE, Stage, names_in, open_files_in};
use playhouse_actors::{LogFile, LogFileSettings, LogLevel, LogPeriod};
use playhouse_engine::{Director, Emitter, Error, Event, Kind, sink, source};

fn log(folder: &Path, settings: LogFileSettings) -> LogFile {
    LogFile::new(folder, settings).unwrap()
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The messages of a log file.
fn messages(folder: &Path, name: &str) -> Vec<String> {
    let lines = text(folder, name);
    lines.lines().map(|line| line.split_once(" :: ").unwrap().1.to_owned()).collect()
}

#[tokio::test]
async fn what_a_flow_has_to_say_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut director = Director::new("orders");
    let log = director.register("log", log(&folder.path().join("logs/today"), LogFileSettings::default()));
    let events = director.register(
        "events",
        source(|emitter: Emitter| async move { emitter.send(Event::new("bad").with_correlation_id("7")).await }),
    );
    let fails = director.register("fails", sink(|_| Err(Error::malformed("it is\nno order"))));
    director.connect(events, fails);
    director.connect_log(log);
    let running = director.build().unwrap().start().await.unwrap();
    let monitor = running.monitor();
    while monitor.actor("log").unwrap().delivered < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.stop(PATIENCE).await.unwrap();
    playhouse_engine::assert_ledger!(monitor);
    let text = text(folder.path(), "logs/today/playhouse.log");
    let has = |level: &str, rest: &str| text.lines().any(|line| line.contains(level) && line.contains(rest));
    assert!(has(" ERROR actor=fails, id=", " :: event failed: it is\\nno order"), "{text}");
    assert!(has(" INFO flow=orders :: ", "the flow runs with 3 actors"), "{text}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_tells_nobody_by_way_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let mut director = Director::new("loop");
    let log = director.register("log", log(&logs, LogFileSettings::default()));
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
    // Its task fails when it is told to, which makes a record of the log.
    let events = director.register(
        "events",
        source(move |emitter: Emitter| {
            let receiver = receiver.clone();
            async move {
                while receiver.lock().unwrap().try_recv().is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                emitter.send(Event::new("bad")).await
            }
        }),
    );
    let fails = director.register("fails", sink(|_| Err(Error::malformed("no order"))));
    director.connect(events, fails);
    director.connect_log(log);
    let running = director.build().unwrap().start().await.unwrap();
    let monitor = running.monitor();
    playhouse_engine::testing::at_rest(&monitor).await.unwrap();
    // A file in the place of the folder.
    fs::remove_dir_all(&logs).unwrap();
    fs::write(&logs, "").unwrap();
    sender.send(()).unwrap();
    while monitor.ledger().failed < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    playhouse_engine::testing::at_rest(&monitor).await.unwrap();
    let before = monitor.ledger().entered;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((monitor.ledger().failed, monitor.ledger().entered), (2, before));
    running.stop(PATIENCE).await.unwrap();
    playhouse_engine::assert_ledger!(monitor);
}

#[tokio::test]
async fn a_file_that_is_full_moves_on_and_only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFileSettings { size: 1000, keep: 3, ..LogFileSettings::default() };
    let stage = Stage::pipe(log(folder.path(), settings)).await;
    for number in 0..200 {
        stage.send(Event::new(format!("message {number}"))).await;
    }
    // Larger than a file may be: it has one of its own.
    stage.send(Event::new("x".repeat(2000))).await;
    stage.send(Event::new("last")).await;
    stage.rest().await;
    assert_eq!((stage.failed.count(), stage.sent.count()), (0, 202));
    let names = names_in(folder.path());
    assert_eq!(names, ["playhouse.log", "playhouse.log.1", "playhouse.log.2", "playhouse.log.3"]);
    assert_eq!(messages(folder.path(), &names[0]), ["last"]);
    assert_eq!(messages(folder.path(), &names[1]), ["x".repeat(2000)]);
    let mut rest = messages(folder.path(), &names[3]);
    rest.extend(messages(folder.path(), &names[2]));
    let expected: Vec<_> = (200 - rest.len()..200).map(|number| format!("message {number}")).collect();
    assert_eq!(rest, expected);
    assert!(text(folder.path(), &names[3]).len() <= 1000);
    stage.stop().await;
}

#[tokio::test]
async fn the_file_of_yesterday_moves_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("playhouse.log");
    fs::write(&path, "yesterday\n").unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    fs::File::options().append(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    let settings = LogFileSettings { period: LogPeriod::Daily, ..LogFileSettings::default() };
    let stage = Stage::pipe(log(folder.path(), settings)).await;
    stage.send(Event::new("today")).await;
    stage.rest().await;
    assert_eq!(text(folder.path(), "playhouse.log.1"), "yesterday\n");
    assert_eq!(messages(folder.path(), "playhouse.log"), ["today"]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_lost_while_another_program_renames_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(log(folder.path(), LogFileSettings::default())).await;
    let script = "n=0; while [ $n -lt 20 ]; do mv playhouse.log old.$n 2>/dev/null && n=$((n + 1)); sleep 0.005; done; \
                  touch done";
    let mut mover = Command::new("sh").args(["-c", script]).current_dir(folder.path()).spawn().unwrap();
    let mut count = 0;
    while !folder.path().join("done").exists() {
        for _ in 0..100 {
            stage.send(Event::new(format!("{count:07}"))).await;
            count += 1;
        }
        tokio::task::yield_now().await;
    }
    assert!(mover.wait().unwrap().success());
    stage.rest().await;
    stage.stop().await;
    fs::remove_file(folder.path().join("done")).unwrap();
    let names = names_in(folder.path());
    assert!(names.len() >= 20, "{names:?}");
    let mut found: Vec<_> = names.iter().flat_map(|name| messages(folder.path(), name)).collect();
    found.sort();
    assert_eq!(found, (0..count).map(|number| format!("{number:07}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_attribute_names_another_file_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(log(folder.path(), LogFileSettings { open: 2, ..LogFileSettings::default() })).await;
    for name in ["a.log", "b.log", "c.log", "a.log"] {
        stage.send(Event::new(name).with_attribute("logger_filename", name)).await;
    }
    for name in ["../a.log", "/tmp/a.log", "..", ".a", "a\0"] {
        stage.send(Event::new("attack").with_attribute("logger_filename", name)).await;
    }
    stage.rest().await;
    assert_eq!(names_in(folder.path()), ["a.log", "b.log", "c.log", "playhouse.log"]);
    assert_eq!(messages(folder.path(), "a.log"), ["a.log", "a.log"]);
    assert_eq!(stage.failed.count(), 5);
    assert!(stage.failed.errors().iter().all(|error| error.starts_with("unprocessable: ")));
    assert!(open_files_in(folder.path()) <= 2);
    stage.stop().await;
}

#[tokio::test]
async fn what_matters_less_is_passed_on_unwritten() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFileSettings { level: LogLevel::Warn, ..LogFileSettings::default() };
    let stage = Stage::pipe(log(folder.path(), settings)).await;
    stage.send(Event::new("info")).await;
    stage.send(Event::new("warn").with_attribute("log.level", "warn")).await;
    stage.send(Event::new("payload").with_error(Error::gone("it went"))).await;
    stage.rest().await;
    assert_eq!(messages(folder.path(), "playhouse.log"), ["warn", "it went"]);
    assert_eq!(stage.sent.count(), 3);
    stage.stop().await;
}

#[tokio::test]
async fn a_second_log_in_the_same_file_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(log(folder.path(), LogFileSettings::default())).await;
    let second = log(folder.path(), LogFileSettings::default());
    let error = Stage::try_new(second, true, |_, _| {}).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("`playhouse.log` is written by another actor or process"), "{error}");
    // Nor in another process, which locks as `flock` does.
    let locked = Command::new("flock").arg("--nonblock").arg(folder.path().join("playhouse.log")).arg("true").status();
    assert!(!locked.unwrap().success());
    stage.stop().await;
    Stage::pipe(log(folder.path(), LogFileSettings::default())).await.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_or_rotated_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFileSettings { size: 100, keep: 2, ..LogFileSettings::default() };
    let stage = Stage::pipe(log(folder.path(), settings)).await;
    // What is in the way of a rotation cannot be moved away: the files before it must stay.
    fs::create_dir_all(folder.path().join("playhouse.log.2/in the way")).unwrap();
    fs::write(folder.path().join("playhouse.log.1"), "precious").unwrap();
    for number in 0..5 {
        stage.send(Event::new(format!("{number} {}", "x".repeat(50)))).await;
    }
    stage.rest().await;
    assert_eq!((stage.sent.count(), stage.failed.count()), (1, 4));
    assert!(stage.failed.errors()[0].ends_with(": cannot rotate `playhouse.log`"), "{:?}", stage.failed.errors());
    assert_eq!(text(folder.path(), "playhouse.log.1"), "precious");
    fs::remove_dir_all(folder.path().join("playhouse.log.2")).unwrap();
    stage.send(Event::new("it goes on")).await;
    stage.rest().await;
    assert_eq!(messages(folder.path(), "playhouse.log"), ["it goes on"]);
    stage.stop().await;
    let error = LogFile::new("logs", LogFileSettings { size: 0, file_name: "../x".into(), ..Default::default() });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`size`") && error.contains("`../x`"), "{error}");
}

#[cfg(feature = "redact")]
#[tokio::test]
async fn what_is_secret_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let redact = vec![r"password=(\S+)".to_owned(), r"\b\d{4}-\d{4}\b".to_owned()];
    let stage = Stage::pipe(log(folder.path(), LogFileSettings { redact, ..LogFileSettings::default() })).await;
    stage.send(Event::new("user=ada password=lovelace card=1234-5678")).await;
    stage.send(Event::new("").with_error(Error::unauthorized("wrong password=lovelace"))).await;
    stage.rest().await;
    let expected = ["user=ada password=REDACTED card=REDACTED", "wrong password=REDACTED"];
    assert_eq!(messages(folder.path(), "playhouse.log"), expected);
    stage.stop().await;
    let redact = vec!["(".to_owned(), "ok".to_owned(), "[".to_owned()];
    let error = LogFile::new(folder.path(), LogFileSettings { redact, ..LogFileSettings::default() }).unwrap_err();
    assert!(error.message().contains("`(`") && error.message().contains("`[`"), "{error}");
}
