//! Files that other programs write, rename, cut and delete while they are read.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod files_support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use files_support::{Collected, PATIENCE, Stage, names_in, python, sha256};
use playhouse_actors::{
    FileSink, FileSinkForm, FileSinkSettings, FileSource, FileSourceForm, FileSourceSettings, OnFailure, Part, PartEnd,
};
use playhouse_engine::{Actor, Director, Error, Event, Format, Kind, Outbox, Ports, Result};

fn following() -> FileSourceSettings {
    FileSourceSettings {
        follow: true,
        interval: Duration::from_millis(5),
        linger: Duration::from_millis(100),
        ..FileSourceSettings::default()
    }
}

fn source(path: impl AsRef<Path>, settings: FileSourceSettings) -> FileSource {
    FileSource::new(path.as_ref(), settings).unwrap()
}

/// The lines that the writers write: their numbers, with something behind them.
fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:07} {}", "x".repeat(number % 90))).collect()
}

/// How the writers write a line.
const LINE: &str = "line = lambda n: '%07d %s\\n' % (n, 'x' * (n % 90))\n";

#[track_caller]
fn assert_lines(found: Vec<String>, count: usize) {
    assert_eq!(found.len(), count);
    let expected = expected(count);
    if let Some(at) = (0..count).find(|at| found[*at] != expected[*at]) {
        panic!("line {at}: `{}` where `{}` was expected", found[at], expected[at]);
    }
}

#[tokio::test]
async fn a_file_is_read_line_by_line_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "one\r\n\ntwo\nthree").unwrap();
    let stage = Stage::source(source(folder.path().join("a"), FileSourceSettings::default())).await;
    stage.sent.wait_for(4).await;
    assert_eq!(stage.sent.texts(), ["one", "", "two", "three"]);
    let path = folder.path().join("a").display().to_string();
    assert!(stage.sent.events().iter().all(|event| event.attribute("file.path") == Some(path.clone().into())));
    stage.stop().await;
}

#[tokio::test]
async fn what_is_not_there_stops_the_start_unless_it_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later");
    let error = Stage::try_new(source(&path, FileSourceSettings::default()), false, |_, _| {}).await.err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
    let stage = Stage::source(source(&path, following())).await;
    fs::write(&path, "a\nb").unwrap();
    stage.sent.wait_for(1).await;
    // The second line waits for its line break.
    fs::write(&path, "a\nbc\n").unwrap();
    stage.sent.wait_for(2).await;
    assert_eq!(stage.sent.texts(), ["a", "bc"]);
    stage.stop().await;
}

/// Reads a file while a program writes it in ten turns: the first half of a turn, and when some of that was seen the second half,
/// after which it makes away with the file at once.
async fn every_line_comes_once_though(make_away: &str) {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::source(source(folder.path().join("log"), following())).await;
    let script = format!(
        "{LINE}import os, sys\nfor turn in range(10):\n file = open('log', 'a')\n \
         for n in range(turn * 10000, turn * 10000 + 5000): file.write(line(n))\n \
         file.flush()\n print(turn, flush=True)\n sys.stdin.readline()\n \
         for n in range(turn * 10000 + 5000, turn * 10000 + 10000): file.write(line(n))\n \
         file.close()\n {make_away}\n"
    );
    let mut writer = python(folder.path(), &script);
    let (mut told, mut asked) = (BufReader::new(writer.stdout.take().unwrap()), writer.stdin.take().unwrap());
    for turn in 0..10 {
        told.read_line(&mut String::new()).unwrap();
        stage.sent.wait_for(turn * 10_000 + 1).await;
        asked.write_all(b"\n").unwrap();
    }
    assert!(writer.wait().unwrap().success());
    stage.sent.wait_for(100_000).await;
    assert_lines(stage.sent.texts(), 100_000);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_comes_once_from_a_file_that_is_renamed_again_and_again() {
    every_line_comes_once_though("os.rename('log', 'log.%d' % turn)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_comes_once_from_a_file_that_is_deleted_and_made_anew() {
    every_line_comes_once_though("os.unlink('log')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_sees_files_that_are_renamed_faster_than_anybody_looks() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileSourceSettings { linger: Duration::from_secs(2), ..following() };
    let stage = Stage::source(source(folder.path().join("log*"), settings)).await;
    let script = format!(
        "{LINE}import os\nfor turn in range(200):\n file = open('log', 'a')\n \
         for n in range(turn * 500, turn * 500 + 500): file.write(line(n))\n \
         file.close()\n os.rename('log', 'log.%d' % turn)\n"
    );
    assert!(python(folder.path(), &script).wait().unwrap().success());
    stage.sent.wait_for(100_000).await;
    let mut found = stage.sent.texts();
    found.sort();
    assert_lines(found, 100_000);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_comes_once_from_a_file_that_is_copied_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::source(source(folder.path().join("log"), following())).await;
    // It cuts the file when all of it was read, for nobody can read what is cut away, and writes on at once, so that the file is
    // longer than before when it is looked at.
    let script = format!(
        "{LINE}import shutil, sys\nfile = open('log', 'a')\nfor turn in range(8):\n \
         for n in range(turn * 10000, turn * 10000 + 10000): file.write(line(n))\n \
         file.flush()\n print(turn, flush=True)\n sys.stdin.readline()\n \
         shutil.copy('log', 'copy.%d' % turn)\n file.truncate(0)\n"
    );
    let mut writer = python(folder.path(), &script);
    let (mut told, mut asked) = (BufReader::new(writer.stdout.take().unwrap()), writer.stdin.take().unwrap());
    for turn in 0..8 {
        told.read_line(&mut String::new()).unwrap();
        stage.sent.wait_for((turn + 1) * 10_000).await;
        asked.write_all(b"\n").unwrap();
    }
    assert!(writer.wait().unwrap().success());
    assert_lines(stage.sent.texts(), 80_000);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_writes_to_a_renamed_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let stage = Stage::source(source(&log, FileSourceSettings { linger: PATIENCE, ..following() })).await;
    let mut file = fs::File::create(&log).unwrap();
    file.write_all(b"a\n").unwrap();
    stage.sent.wait_for(1).await;
    fs::rename(&log, old).unwrap();
    fs::write(&log, "b\n").unwrap();
    stage.sent.wait_for(2).await;
    file.write_all(b"late\n").unwrap();
    stage.sent.wait_for(3).await;
    assert_eq!(stage.sent.texts(), ["a", "b", "late"]);
    stage.stop().await;
}

/// Names the folder for the process that is to be killed.
const FOLDER: &str = "PLAYHOUSE_TEST_FILE_SOURCE";

/// Not a test, but the process that is killed: it copies lines from `log` to `copy`.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let settings = FileSourceSettings {
        resume: Some(folder.join("position")),
        resume_interval: Duration::from_millis(5),
        window: 64 << 10,
        ..following()
    };
    let mut director = Director::new("victim");
    let source = director.register("source", source(folder.join("log"), settings));
    let copy = director.register("copy", FileSink::new(folder, "copy", FileSinkSettings::default()).unwrap());
    director.connect(source, copy);
    let _running = director.build().unwrap().start().await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_ten_times_loses_no_line() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "{LINE}import os, time\nfor turn in range(20):\n file = open('log', 'a')\n \
         for n in range(turn * 5000, turn * 5000 + 5000):\n  file.write(line(n))\n  if n % 500 == 0: time.sleep(0.01)\n \
         file.close()\n os.rename('log', 'log.%d' % turn) if turn % 7 == 6 else None\n"
    );
    let mut writer = python(folder.path(), &script);
    let writing = std::thread::spawn(move || writer.wait());
    let copied = || fs::read_to_string(folder.path().join("copy")).unwrap_or_default();
    let is_complete = |text: &str| text.lines().any(|line| line.starts_with("0099999 "));
    for round in 0..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = std::time::Instant::now();
        if round < 10 {
            // Long enough that it has done something, and another time each round.
            let before = copied().len();
            while copied().len() < before + 4000 * (round + 1) && began.elapsed() < Duration::from_secs(2) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } else {
            while !is_complete(&copied()) {
                assert!(began.elapsed() < PATIENCE, "the last line never came");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // By signal 9.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(writing.join().unwrap().unwrap().success());
    let copied = copied();
    let mut found: Vec<_> = copied.lines().map(str::to_owned).collect();
    let all = found.len();
    found.sort();
    found.dedup();
    assert_lines(found, 100_000);
    println!("10 kills, 100,000 lines, {} of them sent again", all - 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_and_a_start_after_it_send_every_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, expected(100_000).join("\n") + "\n").unwrap();
    let settings = || FileSourceSettings { resume: Some(folder.path().join("position")), ..following() };
    let mut found = Vec::new();
    while found.len() < 100_000 {
        let stage = Stage::source(source(&log, settings())).await;
        stage.sent.wait_for(1).await;
        let sent = stage.sent.clone();
        stage.stop().await;
        found.extend(sent.texts());
    }
    assert_lines(found, 100_000);
    // Renamed and written on while nobody looked.
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"old\n").unwrap();
    fs::rename(&log, folder.path().join("log.1")).unwrap();
    fs::write(&log, "new\n").unwrap();
    let stage = Stage::source(source(&log, settings())).await;
    stage.sent.wait_for(2).await;
    assert_eq!(stage.sent.texts(), ["old", "new"]);
    stage.stop().await;
    // The same name and the same number, perhaps, but another file.
    fs::write(&log, "another\n").unwrap();
    let stage = Stage::source(source(&log, settings())).await;
    stage.sent.wait_for(1).await;
    assert_eq!(stage.sent.texts(), ["another"]);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_no_line_fails_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, [b"a\n", &b"y".repeat(5000)[..], b"\nb\n\xff\xfe\nc\n"].concat()).unwrap();
    let resume = Some(folder.path().join("position"));
    let settings = FileSourceSettings { line_size: 4000, resume, ..following() };
    let stage = Stage::source(source(&log, settings)).await;
    stage.sent.wait_for(3).await;
    stage.failed.wait_for(2).await;
    assert_eq!(stage.sent.texts(), ["a", "b", "c"]);
    let expected =
        ["too-large: a line is longer than the 4000 bytes of `line-size`", "malformed: the bytes are not UTF-8 text"];
    assert_eq!(stage.failed.errors(), expected);
    let failed = stage.failed.events();
    assert_eq!(failed[0].payload().to_bytes().len(), 1024);
    assert_eq!(failed[1].payload().to_bytes(), &b"\xff\xfe"[..]);
    stage.stop().await;
    let kept = fs::read_to_string(folder.path().join("position")).unwrap();
    assert!(kept.contains(&format!("\"offset\":{}", fs::metadata(&log).unwrap().len())), "{kept}");
}

#[tokio::test]
async fn bytes_need_be_no_text() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log"), b"\xff\n").unwrap();
    let settings = FileSourceSettings { text: false, ..FileSourceSettings::default() };
    let stage = Stage::source(source(folder.path().join("log"), settings)).await;
    stage.sent.wait_for(1).await;
    assert_eq!(stage.sent.events()[0].payload().to_bytes(), &b"\xff"[..]);
    stage.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error_once() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let stage = Stage::source(source(folder.path().join("pipe"), following())).await;
    stage.failed.wait_for(1).await;
    // It is looked at again and again until there is a file.
    fs::remove_file(folder.path().join("pipe")).unwrap();
    fs::write(folder.path().join("pipe"), "a\n").unwrap();
    stage.sent.wait_for(1).await;
    assert_eq!(stage.failed.count(), 1);
    assert!(stage.failed.errors()[0].starts_with("unavailable: cannot open `"), "{:?}", stage.failed.errors());
    stage.stop().await;
}

/// Fails so many times before it passes events on.
struct Stubborn(Arc<AtomicUsize>, Collected);

impl Actor for Stubborn {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let text = event.payload().to_string();
        if text == "3" && self.0.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Err(Error::unavailable("not yet"));
        }
        playhouse_engine::Light::handle(&self.1, event, out)
    }
}

#[tokio::test]
async fn a_source_that_is_to_begin_again_does_until_all_went_through() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log"), "1\n2\n3\n4\n").unwrap();
    let collected = Collected::default();
    let mut director = Director::new("again");
    let settings = FileSourceSettings { on_failure: OnFailure::Again, ..FileSourceSettings::default() };
    let source = director.register("source", source(folder.path().join("log"), settings));
    let stubborn = director.register("stubborn", Stubborn(Arc::new(3.into()), collected.clone()));
    director.connect(source, stubborn);
    let running = director.build().unwrap().start().await.unwrap();
    // Two times all but the third, and one time all from the third on.
    collected.wait_for(6).await;
    assert_eq!(collected.texts(), ["1", "2", "4", "4", "3", "4"]);
    let monitor = running.monitor();
    running.stop(PATIENCE).await.unwrap();
    playhouse_engine::assert_ledger!(monitor, failed = 2);
}

/// Takes nothing before it is let.
struct Gate(Arc<tokio::sync::Semaphore>, Arc<AtomicUsize>);

impl Actor for Gate {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        self.0.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?.forget();
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn no_more_is_under_way_than_the_window_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log"), format!("{}\n", "x".repeat(99)).repeat(10_000)).unwrap();
    let (open, taken) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut director = Director::new("window");
    // Ten lines with what they take beside their text.
    let settings = FileSourceSettings { window: 10 * (256 + 99), ..FileSourceSettings::default() };
    let source = director.register("source", source(folder.path().join("log"), settings));
    let gate = director.register("gate", Gate(open.clone(), taken.clone()));
    director.connect(source, gate);
    let running = director.build().unwrap().start().await.unwrap();
    let monitor = running.monitor();
    while monitor.ledger().in_flight < 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert_eq!(monitor.ledger().in_flight, 10);
    }
    open.add_permits(10_000);
    while taken.load(Ordering::Relaxed) < 10_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.stop(PATIENCE).await.unwrap();
    playhouse_engine::assert_ledger!(monitor, delivered = 10_000);
}

#[tokio::test]
async fn files_of_a_folder_are_events_each_once_until_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        fs::write(folder.path().join(".new"), text).unwrap();
        fs::rename(folder.path().join(".new"), folder.path().join(name)).unwrap();
    };
    put("a", "first");
    let resume = tempfile::tempdir().unwrap();
    let settings = || FileSourceSettings {
        form: FileSourceForm::Wholes,
        whole_size: 10,
        resume: Some(resume.path().join("position")),
        files: 2,
        ..following()
    };
    let stage = Stage::source(source(folder.path(), settings())).await;
    stage.sent.wait_for(1).await;
    for number in 0..5 {
        put(&number.to_string(), &format!("file {number}"));
    }
    stage.sent.wait_for(6).await;
    put("large", "01234567890");
    stage.failed.wait_for(1).await;
    assert!(stage.failed.errors()[0].starts_with("too-large: "));
    put("a", "second");
    stage.sent.wait_for(7).await;
    let mut texts = stage.sent.texts();
    texts.sort();
    assert_eq!(texts, ["file 0", "file 1", "file 2", "file 3", "file 4", "first", "second"]);
    stage.stop().await;
    put("b", "third");
    let stage = Stage::source(source(folder.path(), settings())).await;
    stage.sent.wait_for(1).await;
    assert_eq!(stage.sent.texts(), ["third"]);
    stage.stop().await;
}

#[tokio::test]
async fn more_files_than_may_be_open_wait_for_their_turn_and_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let resume = tempfile::tempdir().unwrap();
    for number in 0..20 {
        fs::write(folder.path().join(format!("{number:02}")), format!("{number}\n")).unwrap();
    }
    let settings = || FileSourceSettings {
        files: 3,
        resume: Some(resume.path().join("position")),
        ..FileSourceSettings::default()
    };
    let stage = Stage::source(source(folder.path(), settings())).await;
    stage.sent.wait_for(20).await;
    let mut numbers: Vec<u32> = stage.sent.texts().iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    stage.stop().await;
    fs::write(folder.path().join("20"), "20\n").unwrap();
    let stage = Stage::source(source(folder.path(), settings())).await;
    stage.sent.wait_for(1).await;
    assert_eq!(stage.sent.texts(), ["20"]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_parts_is_the_same_file_at_the_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    for (name, size) in [("empty", 0), ("one", 1), ("even", 40_000), ("odd", 123_457)] {
        let status = Command::new("dd")
            .args(["if=/dev/urandom", "status=none", "bs=1", &format!("count={size}")])
            .arg(format!("of={}", from.join(name).display()))
            .status();
        assert!(status.unwrap().success());
    }
    let collected = Collected::default();
    let mut director = Director::new("copy");
    let settings = FileSourceSettings { form: FileSourceForm::Parts, part_size: 4000, ..Default::default() };
    let source = director.register("source", source(&from, settings));
    let named = director.register(
        "named",
        playhouse_engine::map(|event: &Event| {
            let path = event.attribute("file.path").unwrap().to_string();
            event.clone().with_attribute("name", path.rsplit('/').next().unwrap().to_owned())
        }),
    );
    let settings = FileSinkSettings { form: FileSinkForm::Wholes, ..FileSinkSettings::default() };
    let sink = director.register("sink", FileSink::new(&to, "{name}", settings).unwrap());
    let end = director.register("end", collected.clone());
    director.connect(source, named);
    director.connect(named, sink);
    director.connect(sink, end);
    let running = director.build().unwrap().start().await.unwrap();
    collected.wait_for(4).await;
    let monitor = running.monitor();
    running.stop(PATIENCE).await.unwrap();
    playhouse_engine::assert_ledger!(monitor, failed = 0);
    assert_eq!(names_in(&to), ["empty", "even", "odd", "one"]);
    for name in names_in(&to) {
        assert_eq!(sha256(&from.join(&name)), sha256(&to.join(&name)));
    }
    assert!(collected.events().iter().all(|event| Part::of(event).unwrap().is_none()));
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_file_breaks_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log"), vec![0; 100_000]).unwrap();
    let settings =
        FileSourceSettings { form: FileSourceForm::Parts, part_size: 10, window: 300, ..FileSourceSettings::default() };
    let stage = Stage::source(source(folder.path().join("log"), settings)).await;
    stage.sent.wait_for(3).await;
    let sent = stage.sent.clone();
    stage.stop().await;
    let parts: Vec<_> = sent.events().iter().map(|event| Part::of(event).unwrap().unwrap()).collect();
    assert!(parts.iter().enumerate().all(|(number, part)| part.number == number as u64));
    assert_eq!(parts.last().unwrap().end, PartEnd::Broken);
    assert!(parts.len() < 10_000, "it was read to its end before the flow stopped");
}
