//! Files: lines read, lines and logs written, and a large upload, beside what one would write by hand with the standard library.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use playhouse::actors::{
    FileSink, FileSinkForm, FileSinkSettings, FileSource, FileSourceSettings, LogFile, LogFileSettings, Part, PartEnd,
};
use playhouse::{Actor, Director, Emitter, Event, EventId, IntoNode, Receipt, Result, sink, source};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::{Race, wanted};

const LINES: usize = 1_000_000;

/// How large the upload is, how large its parts are, and how many of them are under way at once.
const UPLOAD: usize = 1 << 30;
const PART: usize = 256 << 10;
const WINDOW: usize = 16;

/// For how long each case runs.
const BUDGET: Duration = Duration::from_secs(15);

/// Runs all cases.
///
/// # Errors
/// Where files cannot be made.
pub fn race() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let line = "x".repeat(99);
    if wanted("file-source") {
        let path = folder.join("lines");
        fs::write(&path, format!("{line}\n").repeat(LINES))?;
        Race::new("file-source", "lines/s")
            .ours("", || per_second(LINES, || read(&path, FileSourceSettings::default())))
            .ours("-resume", || {
                let resume = Some(folder.join("position"));
                // The positions of the round before are none of this one.
                let _ = fs::remove_file(folder.join("position"));
                per_second(LINES, || read(&path, FileSourceSettings { resume, ..FileSourceSettings::default() }))
            })
            .peer("BufReader", || per_second(LINES, || by_hand(&path)))
            .run(BUDGET, 15);
    }
    if wanted("file-sink") {
        Race::new("file-sink", "lines/s")
            .ours("", || {
                let sink = FileSink::new(folder, "ours", FileSinkSettings::default());
                per_second(LINES, || write(sink, &line))
            })
            .peer("BufWriter", || per_second(LINES, || written_by_hand(folder, &line, false)))
            .run(BUDGET, 15);
    }
    if wanted("log-file") {
        Race::new("log-file", "lines/s")
            .ours("", || {
                let settings = LogFileSettings { size: u64::MAX, ..LogFileSettings::default() };
                per_second(LINES, || write(LogFile::new(folder, settings), &line))
            })
            .peer("BufWriter", || per_second(LINES, || written_by_hand(folder, &line, true)))
            .run(BUDGET, 15);
    }
    if wanted("upload") {
        Race::new("upload", "MiB/s")
            .ours("", || per_second(UPLOAD >> 20, || upload(folder)))
            .peer("spawn_blocking", || per_second(UPLOAD >> 20, || upload_by_hand(folder)))
            .run(BUDGET * 2, 15);
    }
    Ok(())
}

fn per_second(count: usize, run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    count as f64 / began.elapsed().as_secs_f64()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made")
}

fn read(path: &Path, settings: FileSourceSettings) {
    let count = Arc::new(AtomicUsize::new(0));
    runtime().block_on(async {
        let mut director = Director::new("read");
        let from = director.register("source", FileSource::new(path, settings).expect("the settings are right"));
        let counted = count.clone();
        let end = director.register(
            "sink",
            sink(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }),
        );
        director.connect(from, end);
        let running = director.build().expect("the flow is right").start().await.expect("the file is there");
        while count.load(Ordering::Relaxed) < LINES {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.stop(BUDGET).await.expect("it stops");
    });
}

fn by_hand(path: &Path) {
    let file = BufReader::new(File::open(path).expect("the file is there"));
    let count = file.lines().filter(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).count();
    assert_eq!(count, LINES);
}

fn write<A: Actor + IntoNode<M>, M>(actor: Result<A>, line: &str) {
    let payload: Bytes = line.to_owned().into();
    runtime().block_on(async {
        let mut director = Director::new("write");
        let from = director.register(
            "source",
            source(move |emitter: Emitter| {
                let payload = payload.clone();
                async move { emitter.send_all((0..LINES).map(|_| Event::new(payload.clone()))).await }
            }),
        );
        let to = director.register("sink", actor.expect("the settings are right"));
        director.connect(from, to);
        let running = director.build().expect("the flow is right").start().await.expect("it starts");
        let monitor = running.monitor();
        while monitor.ledger().delivered < 2 * LINES as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.stop(BUDGET).await.expect("it stops");
    });
}

fn written_by_hand(folder: &Path, line: &str, is_log: bool) {
    let mut file = BufWriter::new(File::options().create(true).append(true).open(folder.join("theirs")).expect("room"));
    for _ in 0..LINES {
        let written = match is_log {
            // As a hand would write it: the time in whole seconds.
            true => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                writeln!(file, "{} INFO id={} :: {line}", now.as_secs(), EventId::unique())
            }
            false => writeln!(file, "{line}"),
        };
        written.expect("room");
    }
    file.flush().expect("room");
}

fn upload(folder: &Path) {
    let (done, mut written) = tokio::sync::mpsc::channel(1);
    let part = Bytes::from(vec![7; PART]);
    runtime().block_on(async {
        let settings = FileSinkSettings { form: FileSinkForm::Wholes, ..FileSinkSettings::default() };
        let mut director = Director::new("upload");
        let from = director.register(
            "source",
            source(move |emitter: Emitter| {
                let part = part.clone();
                async move {
                    let (id, window) = (EventId::unique(), Arc::new(Semaphore::new(WINDOW)));
                    for number in 0..(UPLOAD / PART) as u64 {
                        window.acquire().await.expect("it stays open").forget();
                        let last = number + 1 == (UPLOAD / PART) as u64;
                        let end = if last { PartEnd::Last } else { PartEnd::More };
                        // As the body of a request comes: each part is memory of its own.
                        let event = Event::with_id(id, Bytes::copy_from_slice(&part));
                        let room = window.clone();
                        let receipt = Receipt::new(move |_| room.add_permits(1));
                        emitter.send(Part { number, end }.mark(event).with_receipt(receipt)).await?;
                    }
                    Ok(())
                }
            }),
        );
        let to = director.register("sink", FileSink::new(folder, "upload", settings).expect("the settings are right"));
        let end = director.register(
            "end",
            sink(move |_| {
                // It is told once for each run.
                let _ = done.try_send(());
                Ok(())
            }),
        );
        director.connect(from, to);
        director.connect(to, end);
        let running = director.build().expect("the flow is right").start().await.expect("it starts");
        written.recv().await.expect("it is told");
        running.stop(BUDGET).await.expect("it stops");
    });
    assert_eq!(fs::metadata(folder.join("upload")).map_or(0, |about| about.len()), UPLOAD as u64);
}

/// What a handler does that writes each part as it comes, on a blocking thread.
fn upload_by_hand(folder: &Path) {
    let part = Bytes::from(vec![7; PART]);
    runtime().block_on(async {
        let path = folder.join("theirs.part");
        let (sender, mut parts) = tokio::sync::mpsc::channel::<Bytes>(WINDOW);
        let sending = tokio::spawn(async move {
            for _ in 0..UPLOAD / PART {
                if sender.send(Bytes::copy_from_slice(&part)).await.is_err() {
                    return;
                }
            }
        });
        let mut file = File::create(&path).expect("room");
        while let Some(part) = parts.recv().await {
            let written = spawn_blocking(move || file.write_all(&part).map(|()| file)).await;
            file = written.expect("it is not aborted").expect("room");
        }
        sending.await.expect("it does not panic");
        fs::rename(path, folder.join("theirs-upload")).expect("room");
    });
}
