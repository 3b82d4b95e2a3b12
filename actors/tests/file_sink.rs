//! Files that are written while disks are full, folders vanish, and names lead elsewhere.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod files_support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use files_support::{PATIENCE, Stage, names_in, open_files_in, sha256};
use playhouse_actors::{Existing, FileSink, FileSinkForm, FileSinkSettings, LineBreaks, Part, PartEnd};
use playhouse_engine::{Event, EventId, Kind};

fn lines(folder: &Path, path: &str) -> FileSink {
    FileSink::new(folder, path, FileSinkSettings::default()).unwrap()
}

fn wholes() -> FileSinkSettings {
    FileSinkSettings { form: FileSinkForm::Wholes, ..FileSinkSettings::default() }
}

fn uploads(folder: &Path, settings: FileSinkSettings) -> FileSink {
    FileSink::new(folder, "in/{name}", settings).unwrap()
}

fn named(name: &str, payload: &str) -> Event {
    Event::new(payload.to_owned()).with_attribute("name", name.to_owned())
}

fn part(id: EventId, number: u64, end: PartEnd, payload: Bytes) -> Event {
    let event = Event::with_id(id, payload).with_attribute("name", format!("file-{id}"));
    Part { number, end }.mark(event)
}

fn text(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_appended_in_order_and_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(lines(folder.path(), "a/b.txt")).await;
    for number in 0..10_000 {
        stage.send(Event::new(number.to_string())).await;
    }
    stage.rest().await;
    let expected: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(text(folder.path(), "a/b.txt").lines().collect::<Vec<_>>(), expected);
    assert_eq!(stage.sent.texts(), expected);
    stage.stop().await;
    assert_eq!(open_files_in(folder.path()), 0);
}

#[tokio::test]
async fn a_line_goes_to_the_file_of_its_attributes_and_few_files_stay_open() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileSinkSettings { open: 3, writers: 1, sync: true, ..FileSinkSettings::default() };
    let stage = Stage::pipe(FileSink::new(folder.path(), "{name}.txt", settings).unwrap()).await;
    for number in 0..100 {
        stage.send(named(&format!("f{}", number % 10), &number.to_string())).await;
    }
    stage.rest().await;
    assert_eq!(names_in(folder.path()).len(), 10);
    assert_eq!(text(folder.path(), "f7.txt"), "7\n17\n27\n37\n47\n57\n67\n77\n87\n97\n");
    assert!(open_files_in(folder.path()) <= 3);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_no_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(lines(folder.path(), "log")).await;
    stage.send(Event::new("a\nb")).await;
    stage.send(part(EventId::unique(), 0, PartEnd::More, Bytes::new())).await;
    stage.failed.wait_for(2).await;
    let expected = [
        "unprocessable: expected one line, found a line break in it",
        "unsupported: expected a whole event as a line, found a part of one",
    ];
    assert_eq!(stage.failed.errors(), expected);
    stage.stop().await;
    let settings = FileSinkSettings { line_breaks: LineBreaks::Escape, ..FileSinkSettings::default() };
    let stage = Stage::pipe(FileSink::new(folder.path(), "log", settings).unwrap()).await;
    stage.send(Event::new("a\nb")).await;
    stage.rest().await;
    assert_eq!(text(folder.path(), "log"), "a\\nb\n");
    stage.stop().await;
}

#[tokio::test]
async fn a_file_that_is_renamed_or_whose_folder_is_deleted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(lines(&folder.path().join("logs"), "log")).await;
    let log = folder.path().join("logs/log");
    for (number, change) in ["true", "mv logs/log logs/log.1", "rm -r logs", "rm logs/log"].into_iter().enumerate() {
        assert!(Command::new("sh").args(["-c", change]).current_dir(folder.path()).status().unwrap().success());
        stage.send(Event::new(number.to_string())).await;
        stage.rest().await;
        assert_eq!(fs::read_to_string(&log).unwrap(), format!("{number}\n"));
    }
    assert_eq!(stage.failed.count(), 0);
    stage.stop().await;
}

#[tokio::test]
async fn a_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (lines(folder.path(), "log"), lines(folder.path(), "log"));
    let (first, second) = (Stage::pipe(first).await, Stage::pipe(second).await);
    first.send(Event::new("a")).await;
    first.rest().await;
    second.send(Event::new("b")).await;
    second.rest().await;
    assert_eq!(second.failed.errors(), ["conflict: `log` is written by another actor or process"]);
    first.stop().await;
    second.send(Event::new("c")).await;
    second.rest().await;
    assert_eq!(text(folder.path(), "log"), "a\nc\n");
    second.stop().await;
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("inside");
    fs::create_dir_all(folder.join("in")).unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../../secret", folder.join("in/link")).unwrap();
    let before = names_in(outside.path());
    let stage = Stage::pipe(uploads(&folder, wholes())).await;
    let long = "x".repeat(300);
    let wrong = ["..", ".", "", "../../secret", "/etc/cron.d/x", "a/../../../secret", "a\0b", "a\nb", ".bashrc", &long];
    for name in wrong {
        stage.send(named(name, "attack")).await;
        stage.send(named(name, "attack").derive(Bytes::from("attack"))).await;
    }
    stage.send(Event::new("without a name")).await;
    stage.rest().await;
    assert_eq!(stage.failed.count(), 2 * wrong.len() + 1);
    assert!(
        stage.failed.errors().iter().all(|error| error.starts_with("unprocessable: ")),
        "{:?}",
        stage.failed.errors()
    );
    assert_eq!(names_in(outside.path()), before);
    // A link in the place of a file is replaced, and never followed.
    stage.send(named("link", "new")).await;
    stage.rest().await;
    assert_eq!((text(&folder, "in/link"), text(outside.path(), "secret")), ("new".into(), "secret".into()));
    // Nor is one in the place of a folder.
    fs::remove_dir_all(folder.join("in")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("in")).unwrap();
    stage.send(named("secret", "attack")).await;
    stage.rest().await;
    assert_eq!(text(outside.path(), "secret"), "secret");
    assert!(stage.failed.errors().last().unwrap().starts_with("conflict: "), "{:?}", stage.failed.errors());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_is_one_file_and_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(uploads(folder.path(), FileSinkSettings { sync: true, ..wholes() })).await;
    // As a client sends them: by `head` from a device of random bytes.
    let random = Command::new("head").args(["-c", "1000003", "/dev/urandom"]).output().unwrap().stdout;
    fs::write(folder.path().join("random"), &random).unwrap();
    let ids: Vec<_> = (0..5).map(|_| EventId::unique()).collect();
    let parts: Vec<_> = Bytes::from(random).chunks_of(65_536);
    for (number, bytes) in parts.iter().enumerate() {
        let end = if number + 1 == parts.len() { PartEnd::Last } else { PartEnd::More };
        for id in &ids {
            stage.send(part(*id, number as u64, end, bytes.clone())).await;
        }
    }
    stage.sent.wait_for(5).await;
    stage.rest().await;
    assert_eq!(stage.failed.count(), 0, "{:?}", stage.failed.errors());
    for event in stage.sent.events() {
        let path = format!("in/file-{}", event.id());
        assert_eq!(sha256(&folder.path().join(&path)), sha256(&folder.path().join("random")));
        assert_eq!(event.attribute("file.path"), Some(path.into()));
        assert_eq!(event.attribute("file.size"), Some(1_000_003_i64.into()));
        assert!(event.payload().to_bytes().is_empty() && Part::of(&event).unwrap().is_none());
    }
    assert_eq!((stage.sent.count(), names_in(folder.path()).len()), (5, 6));
    stage.stop().await;
}

trait ChunksOf {
    fn chunks_of(&self, size: usize) -> Vec<Bytes>;
}

impl ChunksOf for Bytes {
    fn chunks_of(&self, size: usize) -> Vec<Bytes> {
        (0..self.len()).step_by(size).map(|begin| self.slice(begin..(begin + size).min(self.len()))).collect()
    }
}

#[tokio::test]
async fn a_whole_whose_parts_do_not_follow_each_other_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(uploads(folder.path(), wholes())).await;
    let bytes = || Bytes::from_static(b"x");
    let cases: [(&[(u64, PartEnd)], &str); 5] = [
        (&[(0, PartEnd::More), (2, PartEnd::More)], "conflict: expected part 1 of its whole, found 2"),
        (
            &[(0, PartEnd::More), (1, PartEnd::More), (1, PartEnd::Last)],
            "conflict: expected part 2 of its whole, found 1",
        ),
        (&[(0, PartEnd::More), (0, PartEnd::More)], "conflict: expected part 1 of its whole, found 0"),
        (&[(3, PartEnd::Last)], "gone: part 3 is of a whole that is not open"),
        (
            &[(0, PartEnd::More), (1, PartEnd::Broken), (2, PartEnd::Last)],
            "gone: part 2 is of a whole that is not open",
        ),
    ];
    for (parts, error) in cases {
        let id = EventId::unique();
        for (number, end) in parts {
            stage.send(part(id, *number, *end, bytes())).await;
        }
        stage.rest().await;
        assert_eq!(stage.failed.errors().last().unwrap(), error);
        assert!(names_in(folder.path()).is_empty(), "{error}: {:?}", names_in(folder.path()));
    }
    assert_eq!((stage.failed.count(), stage.sent.count()), (cases.len(), 0));
    stage.stop().await;
}

#[tokio::test]
async fn what_is_there_is_replaced_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a"), "old").unwrap();
    let stage = Stage::pipe(uploads(folder.path(), FileSinkSettings { existing: Existing::Refuse, ..wholes() })).await;
    stage.send(named("a", "new")).await;
    stage.send(named("b", "new")).await;
    // Made while the parts came.
    let id = EventId::unique();
    stage.send(part(id, 0, PartEnd::More, Bytes::from_static(b"new"))).await;
    stage.rest().await;
    fs::write(folder.path().join(format!("in/file-{id}")), "old").unwrap();
    stage.send(part(id, 1, PartEnd::Last, Bytes::new())).await;
    stage.rest().await;
    let expected =
        ["conflict: `in/a` is there already".to_owned(), format!("conflict: `in/file-{id}` is there already")];
    assert_eq!(stage.failed.errors(), expected);
    assert_eq!((text(folder.path(), "in/a"), text(folder.path(), "in/b")), ("old".into(), "new".into()));
    assert_eq!(text(folder.path(), &format!("in/file-{id}")), "old");
    stage.stop().await;
    let stage = Stage::pipe(uploads(folder.path(), wholes())).await;
    stage.send(named("a", "new")).await;
    stage.rest().await;
    assert_eq!(text(folder.path(), "in/a"), "new");
    stage.stop().await;
    assert_eq!(names_in(folder.path()).len(), 3);
}

#[tokio::test]
async fn too_many_wholes_are_refused_and_those_that_wait_too_long_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileSinkSettings { open: 2, part_time_out: Duration::from_millis(200), ..wholes() };
    let stage = Stage::pipe(uploads(folder.path(), settings)).await;
    let ids = [EventId::unique(), EventId::unique(), EventId::unique()];
    for id in ids {
        stage.send(part(id, 0, PartEnd::More, Bytes::from_static(b"x"))).await;
        stage.rest().await;
    }
    assert_eq!(stage.failed.errors(), ["overloaded: 2 wholes are open, and no more may be"]);
    assert_eq!(names_in(folder.path()).len(), 2);
    // One goes on for longer than the time, the other does not.
    let began = std::time::Instant::now();
    let mut number = 1;
    while began.elapsed() < Duration::from_millis(600) || names_in(folder.path()).len() > 1 {
        assert!(began.elapsed() < PATIENCE, "nothing was deleted");
        stage.send(part(ids[0], number, PartEnd::More, Bytes::from_static(b"x"))).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.send(part(ids[0], number, PartEnd::Last, Bytes::from_static(b"x"))).await;
    stage.sent.wait_for(1).await;
    stage.send(part(ids[1], 1, PartEnd::Last, Bytes::new())).await;
    stage.failed.wait_for(2).await;
    assert_eq!(stage.failed.errors()[1], "gone: part 1 is of a whole that is not open");
    assert_eq!(names_in(folder.path()), [format!("in/file-{}", ids[0])]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wholes_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(uploads(folder.path(), wholes())).await;
    for number in 0..10_000_u64 {
        let id = EventId::unique();
        // Every third is broken, and every third whole from the start.
        match number % 3 {
            0 => stage.send(Event::with_id(id, "x").with_attribute("name", format!("whole-{}", number % 100))).await,
            kind => {
                let end = if kind == 1 { PartEnd::Last } else { PartEnd::Broken };
                for (number, end) in [(0, PartEnd::More), (1, end)] {
                    let event = part(id, number, end, Bytes::from_static(b"x"));
                    stage.send(event.with_attribute("name", format!("part-{}", id.as_u128() % 100))).await;
                }
            }
        }
    }
    stage.rest().await;
    assert_eq!(stage.failed.count(), 0, "{:?}", stage.failed.errors().first());
    assert_eq!(stage.sent.count(), 6667);
    assert!(names_in(folder.path()).iter().all(|name| !name.contains(".playhouse")));
    assert_eq!(open_files_in(folder.path()), 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_leaves_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(uploads(folder.path(), wholes())).await;
    let emitter = stage.emitter.clone().unwrap();
    let sending = tokio::spawn(async move {
        let mut whole = 0;
        loop {
            let id = EventId::unique();
            for (number, end) in [(0, PartEnd::More), (1, PartEnd::More), (2, PartEnd::Last)] {
                if emitter.send(part(id, number, end, Bytes::from(vec![0; 10_000]))).await.is_err() {
                    return whole;
                }
            }
            whole += 1;
        }
    });
    stage.sent.wait_for(50).await;
    let sent = stage.sent.clone();
    stage.stop().await;
    assert_eq!(sending.await.unwrap(), sent.count());
    let names = names_in(folder.path());
    assert_eq!(names.len(), sent.count());
    assert!(names.iter().all(|name| fs::metadata(folder.path().join(name)).unwrap().len() == 30_000));
    assert_eq!(open_files_in(folder.path()), 0);
}

#[tokio::test]
async fn a_folder_that_is_deleted_under_a_whole_breaks_it() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::pipe(uploads(folder.path(), wholes())).await;
    let id = EventId::unique();
    stage.send(part(id, 0, PartEnd::More, Bytes::from_static(b"x"))).await;
    stage.rest().await;
    fs::remove_dir_all(folder.path()).unwrap();
    stage.send(part(id, 1, PartEnd::Last, Bytes::from_static(b"x"))).await;
    stage.rest().await;
    assert_eq!(stage.failed.events()[0].error().unwrap().kind(), Kind::Unavailable);
    stage.send(named("a", "x")).await;
    stage.rest().await;
    assert_eq!(names_in(folder.path()), ["in/a"]);
    stage.stop().await;
}

/// Names the folder for the process that has a small disk.
const DISK: &str = "PLAYHOUSE_TEST_FILE_SINK_DISK";

/// Not a test, but the process that has a small disk of its own, which it may make read-only.
#[tokio::test]
async fn victim() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let disk = Path::new(&disk);
    fs::write(disk.join("ballast"), vec![0; 100_000]).unwrap();
    let stage = Stage::pipe(lines(disk, "log")).await;
    let line = |number: usize| format!("{number} {}", "x".repeat(997));
    let mut sent = 0;
    while stage.failed.count() == 0 {
        for _ in 0..20 {
            stage.send(Event::new(line(sent))).await;
            sent += 1;
        }
        stage.rest().await;
    }
    assert_eq!(stage.failed.events()[0].error().unwrap().kind(), Kind::Unavailable);
    assert!(format!("{}", stage.failed.events()[0].error().unwrap()).contains("No space left"));
    let written = text(disk, "log");
    assert!(written.ends_with('\n'));
    let passed: Vec<_> = stage.sent.texts();
    assert_eq!(written.lines().collect::<Vec<_>>(), passed, "what was passed on is what was written");
    assert_eq!(passed.len() + stage.failed.count(), sent);

    let uploads = Stage::pipe(uploads(disk, wholes())).await;
    let id = EventId::unique();
    for number in 0..4 {
        uploads.send(part(id, number, PartEnd::More, Bytes::from(vec![1; 100_000]))).await;
        uploads.rest().await;
    }
    let errors: Vec<_> = uploads.failed.events().iter().map(|event| event.error().unwrap().kind()).collect();
    assert_eq!(errors, [Kind::Unavailable, Kind::Gone, Kind::Gone, Kind::Gone]);
    assert!(!names_in(disk).iter().any(|name| name.starts_with("in/")), "{:?}", names_in(disk));

    // There is room again.
    fs::remove_file(disk.join("ballast")).unwrap();
    stage.send(Event::new("room")).await;
    stage.rest().await;
    assert_eq!(text(disk, "log"), written + "room\n");
    uploads.send(named("a", "x")).await;
    uploads.sent.wait_for(1).await;

    // No disk becomes read-only while a file on it is written.
    stage.stop().await;
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    let stage = Stage::pipe(lines(disk, "log")).await;
    for (stage, event) in [(&stage, Event::new("read-only")), (&uploads, named("b", "x"))] {
        stage.send(event).await;
        stage.rest().await;
        let failed = stage.failed.events();
        let error = failed.last().unwrap().error().unwrap();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("Read-only file system"), "{error}");
    }
    stage.stop().await;
    uploads.stop().await;
    println!("victim was here");
}

#[tokio::test]
async fn a_full_disk_and_one_that_cannot_be_written_are_errors_and_pass() {
    if std::env::var_os(DISK).is_some() {
        return;
    }
    // A file system of its own, for this process alone.
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=200k none "$1" && exec "$2" victim --exact --nocapture"#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(DISK, folder.path())
        .output()
        .unwrap();
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complained.contains("unshare failed") || complained.contains("unshare: ") {
        println!("this system lets nobody mount: {complained}");
        return;
    }
    assert!(output.status.success() && told.contains("victim was here"), "{told}\n{complained}");
}
