//! The store on a real file system.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod titanic_support;

use std::process::Command;

use playhouse_engine::Kind;
use playhouse_mdp::titanic::{Store, TitanicSettings};
use titanic_support::Broker;

#[tokio::test]
async fn requests_outlive_their_store() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made/when/needed");
    let settings = TitanicSettings::default();
    let mut broker = Broker::open(&folder, &settings);
    let answer = broker.call("titanic.request", &["echo", "a"]).await;
    let ticket = std::str::from_utf8(&answer[1]).unwrap().to_owned();
    assert!(broker.store.close().unwrap().is_empty());
    let mut broker = Broker::open(&folder, &settings);
    assert_eq!(broker.call("titanic.reply", &[&ticket]).await, ["300"]);
    assert_eq!(broker.call("titanic.close", &[&ticket]).await, ["200"]);
    assert_eq!(broker.call("titanic.reply", &[&ticket]).await, ["400"]);
}

#[tokio::test]
async fn a_store_that_is_closed_has_carried_out_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TitanicSettings::default();
    let mut broker = Broker::open(folder.path(), &settings);
    for _ in 0..1000 {
        broker.ask("titanic.request", vec!["echo".into(), "a".into()]);
    }
    let reports = broker.store.close().unwrap();
    assert!(!reports.is_empty());
    let (store, recovered) = Store::open(folder.path(), &settings).unwrap();
    assert_eq!(recovered.requests(), 1000);
    store.close().unwrap();
}

#[test]
fn a_folder_serves_one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TitanicSettings::default();
    let (store, _) = Store::open(folder.path(), &settings).unwrap();
    let error = Store::open(folder.path(), &settings).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let path = folder.path().display();
    assert_eq!(error.to_string(), format!("`{path}`: in use by another broker, expected a folder of its own"));
    store.close().unwrap();
    assert!(Store::open(folder.path(), &settings).is_ok());
}

#[test]
fn a_folder_that_cannot_be_one_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(file.path(), &TitanicSettings::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let expected = format!(
        "`{}`: cannot make the folder of durable requests, expected a folder that can be written to: ",
        file.path().display()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path(), &TitanicSettings::default()).unwrap();
    store.close().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A file system of 1 MiB, for as long as this lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder.path()).output();
        status.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_requests_and_drops_none() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: mounting a small disk needs root");
        return;
    };
    let settings = TitanicSettings { segment_size: 8 << 20, ..TitanicSettings::default() };
    let mut broker = Broker::open(disk.0.path(), &settings);
    let body = "x".repeat(10_000);
    let mut tickets = Vec::new();
    loop {
        let answer = broker.call("titanic.request", &["echo", &body]).await;
        if answer[0] == "500" {
            assert_eq!(answer[1], "the disk does not take it");
            break;
        }
        tickets.push(String::from_utf8(answer[1].to_vec()).unwrap());
    }
    assert!(tickets.len() > 90, "{}", tickets.len());
    for ticket in &tickets {
        assert_eq!(broker.call("titanic.reply", &[ticket]).await, ["300"]);
    }
    broker.store.close().unwrap();
    let mut broker = Broker::open(disk.0.path(), &settings);
    for ticket in &tickets {
        assert_eq!(broker.call("titanic.reply", &[ticket]).await, ["300"]);
    }
    // What is smaller than what was refused may still fit.
    assert_eq!(broker.call("titanic.request", &["echo", "a"]).await[0], "200");
}
