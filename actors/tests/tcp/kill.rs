//! A source that is killed under load, again and again.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Mutex;

use playhouse_engine::{Director, Event, assert_ledger, sink as take};

use super::*;

/// Where the victim listens, and the file that it writes.
const ADDRESS: &str = "PLAYHOUSE_TEST_TCP_ADDRESS";
const FILE: &str = "PLAYHOUSE_TEST_TCP_FILE";

const KILLS: usize = 10;

/// What each victim takes at the least.
const TAKEN: usize = 300;

/// The process that is killed: a source behind which each event's id is written to a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let file = std::fs::File::options().create(true).append(true).open(std::env::var(FILE).unwrap()).unwrap();
    let file = Mutex::new(file);
    let mut director = Director::new("victim");
    let source = director.register("source", TcpSource::bind(address, TcpSourceSettings::default()).unwrap());
    let write = director.register(
        "write",
        take(move |event: &Event| {
            let line = format!("{}\n", event.id());
            file.lock().unwrap().write_all(line.as_bytes()).unwrap();
            Ok(())
        }),
    );
    director.connect(source, write);
    director.build().unwrap().run_until(std::future::pending::<()>(), PATIENCE).await.unwrap();
}

fn start(address: &str, file: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill::victim", "--exact", "--nocapture"])
        .env(ADDRESS, address)
        .env(FILE, file)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_though_the_source_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    let (listener, address) = listener();
    drop(listener);
    let sink = sink(&address, TcpSinkSettings { window: 500, ..quick() }).await;
    let monitor = sink.monitor();
    let sending = tokio::spawn(async move {
        let mut ids = HashSet::new();
        for _ in 0..KILLS * TAKEN * 2 {
            let event = Event::new("a payload of some length, so that frames are cut anywhere");
            ids.insert(event.id().to_string());
            sink.send(event).await.unwrap();
        }
        (sink, ids)
    });
    let written = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    for _ in 0..KILLS {
        let before = written();
        let mut child = start(&address, &file);
        let taken = async {
            while written() < before + TAKEN {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.expect("the victim takes events");
        child.kill().await.unwrap();
    }
    let _last = start(&address, &file);
    let (sink, ids) = tokio::time::timeout(PATIENCE, sending).await.unwrap().unwrap();
    playhouse_engine::testing::at_rest(&monitor).await.unwrap();
    assert_ledger!(sink.stop().await.unwrap(), failed = 0, dropped = 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let arrived: HashSet<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(arrived, ids);
    assert!(text.lines().count() >= ids.len());
}
