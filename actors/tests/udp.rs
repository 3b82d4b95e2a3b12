//! Datagrams.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(feature = "net")]

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use playhouse_actors::{DatagramFormat, InvalidText, UdpSource, UdpSourceSettings};
use playhouse_engine::testing::Probe;
use playhouse_engine::{Actor, Director, Event, Format, Kind, Outbox, Policy, Ports, Result, assert_ledger};

const PATIENCE: Duration = Duration::from_secs(20);

fn socket() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn wait_for(count: impl Fn() -> bool) {
    let began = Instant::now();
    while !count() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_datagram_is_an_event() {
    let (socket, address) = socket();
    let port = address.rsplit(':').next().unwrap();
    let mut source = Probe::new(UdpSource::on(socket, UdpSourceSettings::default()).unwrap()).await.unwrap();
    let script = "
import socket, sys
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind(('127.0.0.1', 0))
for said in (b'one', b'', bytes(65507)): peer.sendto(said, ('127.0.0.1', int(sys.argv[1])))
print(peer.getsockname()[1])
";
    let python = Command::new("python3").args(["-c", script, port]).output().unwrap();
    let from = String::from_utf8(python.stdout).unwrap();
    for length in [3, 0, 65_507] {
        let event = source.output().await.unwrap();
        assert_eq!((event.payload().format(), event.payload().to_bytes().len()), (Format::BYTES, length));
        assert_eq!(event.attributes().text("udp.peer").unwrap(), format!("127.0.0.1:{}", from.trim()));
    }
    assert_ledger!(source.stop().await.unwrap(), delivered = 3, dropped = 0);
}

#[tokio::test]
async fn text_is_text_and_what_is_too_long_or_none_is_told() {
    let (socket, address) = socket();
    let settings = UdpSourceSettings {
        format: DatagramFormat::Text,
        invalid_text: InvalidText::Refuse,
        largest: 4,
        receive_buffer: Some(100_000),
        ..UdpSourceSettings::default()
    };
    let source = UdpSource::on(socket, settings).unwrap();
    let truncated = source.truncated();
    let mut source = Probe::new(source).await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for said in [&b"fine"[..], b"\xff", b"too long"] {
        peer.send_to(said, &address).unwrap();
    }
    assert_eq!(source.output().await.unwrap().payload().format(), Format::TEXT);
    let failed = source.error().await.unwrap();
    assert_eq!((failed.error().unwrap().kind(), &failed.payload().to_bytes()[..]), (Kind::Malformed, &[0xff][..]));
    drop(failed);
    while truncated.get() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let monitor = source.monitor();
    source.stop().await.unwrap();
    assert_ledger!(monitor, delivered = 2, dropped = 1);
}

/// Handles nothing before it is let.
struct Stuck(std::sync::Arc<tokio::sync::Semaphore>);

impl Actor for Stuck {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        let _let = self.0.acquire().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_is_dropped_and_counted() {
    let (socket, address) = socket();
    let source = UdpSource::on(socket, UdpSourceSettings::default()).unwrap();
    let without_room = source.without_room();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let mut director = Director::new("udp");
    let source = director.register("source", source);
    let stuck = director.register_with("stuck", Stuck(gate.clone()), Policy { capacity: 3, ..Policy::default() });
    director.connect(source, stuck);
    let running = director.build().unwrap().start().await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        peer.send_to(b"a", &address).unwrap();
    }
    let monitor = running.monitor();
    // Everything was read, and some of it has found room.
    wait_for(|| monitor.ledger().entered == 20 && without_room.get() > 0);
    gate.close();
    running.stop(PATIENCE).await.unwrap();
    let ledger = monitor.ledger();
    assert!(ledger.balances() && ledger.dropped == without_room.get(), "{ledger}");
    assert!((10..20).contains(&ledger.dropped), "{ledger}");
}

#[tokio::test]
async fn a_group_is_joined() {
    let settings = UdpSourceSettings { groups: vec!["239.1.2.3".parse().unwrap()], ..UdpSourceSettings::default() };
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    // A machine without a network cannot join: then there is nothing to see here.
    let Ok(mut source) = Probe::new(UdpSource::on(socket, settings).unwrap()).await else { return };
    let peer = UdpSocket::bind("0.0.0.0:0").unwrap();
    if peer.send_to(b"all", ("239.1.2.3", port)).is_ok() {
        assert_eq!(source.output().await.unwrap().payload().to_string(), "all");
    }
    source.stop().await.unwrap();
}

#[test]
fn settings_that_make_no_sense_are_refused_all_at_once() {
    let settings =
        UdpSourceSettings { largest: 0, groups: vec!["10.0.0.1".parse().unwrap()], ..UdpSourceSettings::default() };
    let error = UdpSource::bind("127.0.0.1:0", settings).unwrap_err();
    let told = "no UDP source: `largest`: expected 1 to 65507, found 0; `groups`: `10.0.0.1` is no multicast address";
    assert_eq!(error.message(), told);
}
