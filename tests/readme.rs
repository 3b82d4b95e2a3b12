//! The facts in the README are true. Its example is compiled by the docs' tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playhouse::actors::http::HttpLimits;
#[cfg(feature = "mdp")]
use playhouse::mdp::{protocol::BrokerSettings, transport::SocketSettings};

const README: &str = include_str!("../README.md");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the cells of every row of the tables in the README.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    README.lines().filter_map(|line| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(row.split(" | ").map(str::trim).collect())
    })
}

#[track_caller]
fn default_of(limit: &str) -> &'static str {
    let row = rows().find(|row| row[0] == limit).unwrap_or_else(|| panic!("no row for `{limit}`"));
    row[1]
}

#[test]
fn the_limits_are_the_defaults() {
    let limits = HttpLimits::default();
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    assert_eq!(default_of("head"), format!("{}, {} fields", kib(limits.head_size), limits.head_fields));
    assert_eq!(default_of("URI"), kib(limits.uri_size));
    assert_eq!(default_of("body"), format!("{} MiB", limits.body_size / 1024 / 1024));
    let mib = |bytes: usize| bytes / 1024 / 1024;
    let streamed = format!("{} GiB, {} MiB of it at once", mib(limits.streamed_size) / 1024, mib(limits.window));
    assert_eq!(default_of("body in parts"), streamed);
    assert_eq!(default_of("time for a head"), seconds(limits.head_time));
    assert_eq!(default_of("rate of a body"), format!("{} KiB/s", limits.slowest_rate / 1024));
    assert_eq!(default_of("time for a request"), seconds(limits.deadline));
    assert_eq!(default_of("idle connection"), seconds(limits.idle_time));
    assert_eq!(default_of("connections"), limits.connections.to_string());
}

#[cfg(feature = "mdp")]
#[test]
fn the_limits_of_the_broker_are_the_defaults() {
    let (settings, socket) = (BrokerSettings::default(), SocketSettings::default());
    let limits = &settings.limits;
    let mib = |bytes: usize| format!("{} MiB", bytes / 1024 / 1024);
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    assert_eq!(default_of("frame"), mib(limits.frame_size));
    assert_eq!(default_of("message"), format!("{}, {} frames", mib(limits.message_size), limits.frames));
    // The connection is closed by the socket, which counts for itself.
    assert_eq!((socket.largest_message, socket.most_frames), (limits.message_size, limits.frames));
    assert_eq!(default_of("peers"), limits.peers.to_string());
    assert_eq!(default_of("requests queued for a service"), limits.queued_for_service.to_string());
    assert_eq!(default_of("requests queued in all"), format!("{}, {}", limits.queued, mib(limits.queued_size)));
    assert_eq!(default_of("services"), limits.services.to_string());
    assert_eq!(default_of("wait in the queue"), seconds(settings.expiry));
    assert_eq!(default_of("heartbeat"), format!("{}, {} times", seconds(settings.heartbeat), settings.liveness));
    assert_eq!(default_of("work on a request"), seconds(settings.busy_timeout.unwrap()));
    assert!(README.contains(&format!("after {} of silence", seconds(settings.lifetime()))));
    assert_eq!(settings.attempts, 3, "as the text says: three times at most");
}

#[test]
fn every_example_is_listed_and_every_listed_one_is_there() {
    let mut there: Vec<_> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort();
    let mut listed: Vec<_> = rows()
        .map(|row| row[0].trim_matches('`').to_owned())
        .filter(|name| {
            root().join(format!("examples/{name}.rs")).exists() || root().join(format!("examples/{name}")).exists()
        })
        .collect();
    listed.sort();
    assert_eq!(listed, there);
}

#[test]
fn what_it_points_to_is_there() {
    for link in README.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(root().join(link).exists(), "`{link}` is not there");
    }
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for target in ["run", "test", "bench"] {
        assert!(README.contains(&format!("make {target}")) && makefile.contains(&format!("\n{target}:")), "{target}");
    }
}

#[test]
fn the_rust_version_is_the_one_in_the_manifest() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(README.contains(&format!("Rust {version} or later")));
}
