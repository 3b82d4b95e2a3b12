//! What hostile and broken peers do to a broker: nothing. A good client is served throughout, memory does not grow, and the
//! process lives on.
//!
//! Each attack prints a line with the good client's p99 without and with it. By hand, with that judged:
//! `PLAYHOUSE_JUDGE_SPEED=1 cargo test --release -p playhouse-cli --test hostile -- --nocapture --test-threads 1`.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use support::peer::{Client, Worker};
use support::playhouse::{Server, playhouse};
use support::process::Process;
use support::siege::{siege, siege_within};
use support::wire::{Frames, Wire, address, frame, greeting, more};
use support::{PATIENCE, eventually, open_many_files};

const MEBIBYTE: usize = 1024 * 1024;

fn broker() -> Server {
    Server::broker(&[])
}

fn message<T: AsRef<[u8]>>(frames: &[T]) -> Frames {
    frames.iter().map(|frame| frame.as_ref().to_vec()).collect()
}

/// What no peer may say, each as the first thing on a connection (the lines E1 to E10 of the checklist).
fn nonsense() -> Vec<Frames> {
    let huge = vec![b'x'; MEBIBYTE];
    let many = vec![b"x".as_slice(); 65];
    let mut all: Vec<Frames> = [
        // Too few frames, no empty frame or one too many, headers that nobody knows.
        &[b"".as_slice()] as &[&[u8]],
        &[b"x"],
        &[b"", b""],
        &[b"", b"MDPC01"],
        &[b"MDPC01", b"echo"],
        &[b"MDPC01", b"echo", b"body"],
        &[b"", b"MDPX01", b"echo", b"body"],
        &[b"MDPC03", b"\x01", b"echo", b"body"],
        &[b"", b"", b"echo", b"body"],
        &[b"", b"MDPC02", b"\x01", b"echo", b"body"],
        // No service, no body.
        &[b"", b"MDPC01", b"echo"],
        &[b"MDPC02", b"\x01", b"echo"],
        &[b"MDPC02", b"\x01"],
        &[b"MDPC02"],
        &[b"MDPC02", b"\x02", b"echo", b"body"],
        &[b"MDPC02", b"\xff", b"echo", b"body"],
        &[b"MDPC02", b"", b"echo", b"body"],
        // Names that are none.
        &[b"", b"MDPC01", b"", b"body"],
        &[b"MDPC02", b"\x01", b"\x00\x01\x02", b"body"],
        &[b"MDPC02", b"\x01", b"\xff\xfe", b"body"],
        &[b"MDPW02", b"\x01", b""],
        &[b"MDPW02", b"\x01", b"mmi.service"],
        // READY without a service, and with more.
        &[b"", b"MDPW01", b"\x01"],
        &[b"", b"MDPW01", b"\x01", b"echo", b"more"],
        &[b"MDPW02", b"\x01"],
        &[b"MDPW02", b"\x01", b"echo", b"more"],
        // Commands that are none, and such as only a broker says.
        &[b"", b"MDPW01"],
        &[b"", b"MDPW01", b""],
        &[b"", b"MDPW01", b"\x01\x01", b"echo"],
        &[b"", b"MDPW01", b"\x00"],
        &[b"", b"MDPW01", b"\x06"],
        &[b"", b"MDPW01", b"\xff"],
        &[b"", b"MDPW01", b"\x02", b"client", b"", b"body"],
        &[b"MDPW02"],
        &[b"MDPW02", b""],
        &[b"MDPW02", b"\x00"],
        &[b"MDPW02", b"\x07"],
        &[b"MDPW02", b"\xff"],
        &[b"MDPW02", b"\x02", b"client", b"", b"body"],
        // Beats and farewells with more to them.
        &[b"", b"MDPW01", b"\x04", b"more"],
        &[b"", b"MDPW01", b"\x05", b"more"],
        &[b"MDPW02", b"\x05", b"more"],
        &[b"MDPW02", b"\x06", b"more"],
        // Replies without a client, without the empty frame, without a body, and to nobody.
        &[b"", b"MDPW01", b"\x03"],
        &[b"", b"MDPW01", b"\x03", b"client"],
        &[b"", b"MDPW01", b"\x03", b"client", b"body"],
        &[b"", b"MDPW01", b"\x03", b"client", b""],
        &[b"MDPW02", b"\x03", b"client", b"", b"body"],
        &[b"MDPW02", b"\x04", b"client", b"body"],
        &[b"MDPW02", b"\x04", b"client", b""],
        &[b"MDPW02", b"\x04", b"", b"", b"body"],
        // What the broker answers itself, without a question.
        &[b"", b"MDPC01", b"mmi.service"],
        &[b"MDPC02", b"\x01", b"mmi.service"],
        &[b"MDPC02", b"\x01", b"mmi.", b""],
    ]
    .into_iter()
    .map(message)
    .collect();
    all.push(message(&[b"".as_slice(), &huge, b"echo", b"body"]));
    all.push(message(&[b"MDPC02".as_slice(), b"\x01", &huge, b"body"]));
    all.push(message(&[b"MDPW02".as_slice(), b"\x01", &huge]));
    all.push(message(&[&[b"MDPC02".as_slice(), b"\x01", b"echo"], many.as_slice()].concat()));
    all
}

#[test]
fn messages_that_are_none_of_majordomos_do_nothing() {
    siege("malformed-messages", broker(), |endpoint| {
        for frames in nonsense() {
            let mut fresh = Wire::connect(endpoint, "DEALER", b"").unwrap();
            // Where the broker has hung up in the middle of it, that is an answer, too.
            let _ = fresh.send(&frames);
        }
        // All of it from one peer, a client and a worker in turn, and from a socket that may not even be a worker.
        for kind in ["DEALER", "REQ"] {
            for _ in 0..5 {
                let mut peer = Wire::connect(endpoint, kind, b"").unwrap();
                for frames in nonsense().into_iter().filter(|frames| frames.concat().len() < 1000) {
                    let known = [
                        message(&[b"MDPW02".as_slice(), b"\x01", b"other"]),
                        frames,
                        message(&[b"MDPC02".as_slice(), b"\x01", b"other", b"body"]),
                    ];
                    for frames in known {
                        let _ = peer.send(&frames);
                    }
                }
            }
        }
    });
}

#[test]
fn bytes_that_are_none_of_zeromqs_do_nothing() {
    siege("garbage", broker(), |endpoint| {
        // The 73 bytes: a greeting, then a frame that claims to be longer than memory.
        let endless = [greeting().as_slice(), &[2, 0, 0, 1, 0, 0, 0, 0, 0]].concat();
        let after_handshake = |bytes: &[u8]| [greeting().as_slice(), &frame(4, b"\x05READY"), bytes].concat();
        let mut streams = vec![
            endless,
            after_handshake(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            after_handshake(&[0xff; 100]),
            after_handshake(&frame(4, b"\xffPING")),
            after_handshake(&frame(4, b"")),
            [greeting().as_slice(), &frame(4, b"\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER")].concat(),
            [greeting().as_slice(), &frame(4, b"\x05READY\xff")].concat(),
            [greeting().as_slice(), &frame(0, b"no handshake")].concat(),
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            vec![0; 10_000],
            vec![0xff; 10_000],
            greeting()[..63].to_vec(),
        ];
        let mut curve = greeting();
        curve[12..17].copy_from_slice(b"CURVE");
        streams.push([curve.as_slice(), &frame(4, b"\x05HELLO")].concat());
        for _ in 0..20 {
            for bytes in &streams {
                let mut stream = TcpStream::connect(address(endpoint)).unwrap();
                let _ = stream.write_all(bytes);
            }
        }
    });
}

#[test]
fn a_message_without_an_end_is_cut_off() {
    siege("endless-message", broker(), |endpoint| {
        for (size, count) in [(0, 1_000_000), (1024, 200_000), (512 * 1024, 400)] {
            let mut peer = Wire::connect(endpoint, "DEALER", b"").unwrap();
            let block = more(&vec![b'x'; size]).repeat((64 * 1024 / (size + 2)).max(1));
            let mut left = (size + 2) * count;
            while left > 0 && peer.write(&block).is_ok() {
                left = left.saturating_sub(block.len());
            }
        }
    });
}

#[test]
fn handshakes_that_are_never_ended_keep_nobody_out() {
    open_many_files();
    siege("half-open", broker(), |endpoint| {
        let half = |number: usize| {
            let mut stream = TcpStream::connect_timeout(&address(endpoint), PATIENCE).ok()?;
            stream.write_all(&greeting()[..number % 64]).ok()?;
            Some(stream)
        };
        let held: Vec<_> = (0..1000).map(half).collect();
        assert!(held.iter().flatten().count() >= 900);
        // They are held on, and still somebody new gets in, at the latest when their time for a handshake is up.
        eventually("somebody new gets in", Duration::from_secs(15), || {
            Client::connect(endpoint).ok()?.echo("good", "new", PATIENCE).ok()
        });
        drop(held);
    });
}

#[test]
fn a_peer_that_never_reads_holds_up_nobody_else() {
    siege("never-reads", broker(), |endpoint| {
        // A client whose answers nobody takes. It asks no faster than it is answered, so that nothing waits but the answers.
        let bulk = Worker::start(endpoint, "bulk");
        let mut client = Wire::connect(endpoint, "DEALER", b"").unwrap();
        let body = vec![b'x'; 100 * 1024];
        for sent in 0..2000 {
            let began = Instant::now();
            while bulk.served() + 20 < sent && began.elapsed() < Duration::from_secs(1) {
                thread::park_timeout(Duration::from_millis(1));
            }
            let is_cut_off = bulk.served() + 20 < sent;
            if is_cut_off || client.send(&[b"MDPC02".as_slice(), b"\x01", b"bulk", &body]).is_err() {
                break;
            }
        }
        // A worker that takes no request.
        let mut worker = Wire::connect(endpoint, "DEALER", b"").unwrap();
        worker.send(&[b"MDPW02".as_slice(), b"\x01", b"deaf"]).unwrap();
        let mut asking = Wire::connect(endpoint, "DEALER", b"").unwrap();
        for _ in 0..100 {
            if asking.send(&[b"MDPC02".as_slice(), b"\x01", b"deaf", &body]).is_err() {
                break;
            }
        }
    });
}

#[test]
fn two_peers_with_one_identity_harm_nobody_and_free_it_when_they_go() {
    siege("one-identity", broker(), |endpoint| {
        for round in 0..50 {
            let mut peers: Vec<_> =
                (0..3).filter_map(|_| Wire::connect(endpoint, "DEALER", b"the same").ok()).collect();
            for peer in &mut peers {
                let frames: &[&[u8]] = match round % 2 {
                    0 => &[b"MDPC02", b"\x01", b"good", b"body"],
                    _ => &[b"MDPW02", b"\x01", b"twin"],
                };
                let _ = peer.send(frames);
            }
        }
        eventually("the identity is free again", Duration::from_secs(10), || {
            let mut peer = Wire::connect(endpoint, "DEALER", b"the same").ok()?;
            peer.send(&[b"MDPC02".as_slice(), b"\x01", b"good", b"body"]).ok()?;
            let reply = peer.receive(Instant::now() + Duration::from_millis(500)).ok()?;
            (reply.last()? == b"body").then_some(())
        });
    });
}

#[test]
fn a_broker_without_files_to_spare_serves_those_that_are_there_and_recovers() {
    let words = ["broker", "--bind", "tcp://127.0.0.1:0"];
    let program = playhouse(&words);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(program.get_program()).args(words);
    siege("no-files", Server::start(&mut limited), |endpoint| {
        let held: Vec<_> =
            (0..200).map_while(|_| TcpStream::connect_timeout(&address(endpoint), PATIENCE).ok()).collect();
        thread::park_timeout(Duration::from_secs(1));
        drop(held);
        eventually("somebody new gets in", Duration::from_secs(10), || {
            Client::connect(endpoint).ok()?.echo("good", "new", Duration::from_secs(1)).ok()
        });
    });
}

#[test]
fn a_thousand_peers_at_once_are_served() {
    open_many_files();
    // They are no attack: each connection may have its buffers.
    let buffers = 256 * MEBIBYTE as u64;
    siege_within("thousand-peers", broker(), buffers, |endpoint| {
        let mut peers: Vec<_> = (0..1000).map(|_| Client::connect(endpoint).unwrap()).collect();
        for peer in &mut peers {
            peer.wire.send(&[b"MDPC02".as_slice(), b"\x01", b"good", b"one of many"]).unwrap();
        }
        for peer in &mut peers {
            let reply = peer.wire.receive(Instant::now() + PATIENCE).unwrap();
            assert_eq!(reply[3], b"one of many");
        }
    });
}

#[test]
fn a_body_of_ten_mebibytes_is_refused() {
    siege("too-large", broker(), |endpoint| {
        let body = vec![b'x'; 10 * MEBIBYTE];
        for _ in 0..10 {
            let mut peer = Wire::connect(endpoint, "DEALER", b"").unwrap();
            let sent = peer.send(&[b"MDPC02".as_slice(), b"\x01", b"good", &body]);
            let reply = sent.and_then(|()| peer.receive(Instant::now() + Duration::from_millis(200)));
            assert!(reply.is_err(), "{:?}", reply.map(|frames| frames.len()));
        }
    });
}

#[test]
fn a_body_of_ten_mebibytes_passes_where_the_limits_are_raised() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    let raised =
        "[socket]\nlargest-message = 33554432\n[broker.limits]\nframe-size = 16777216\nmessage-size = 33554432\n";
    std::fs::write(settings.path(), raised).unwrap();
    let broker = Server::broker(&["--settings", settings.path().to_str().unwrap()]);
    let _worker = Worker::start(&broker.endpoint, "large");
    let body = vec![b'x'; 10 * MEBIBYTE];
    let reply = Client::connect(&broker.endpoint).unwrap().ask("large", &[&body], PATIENCE).unwrap();
    assert!(reply == [body]);
}

#[test]
fn requests_that_nobody_serves_are_held_within_limits() {
    siege("nobody-serves", broker(), |endpoint| {
        let mut peer = Wire::connect(endpoint, "DEALER", b"").unwrap();
        let body = [b'x'; 1000];
        for number in 0..20_000 {
            // Very many names, and very many requests for one.
            let service = if number % 2 == 0 { format!("name {number}") } else { "one name".to_owned() };
            peer.send(&[b"MDPC02".as_slice(), b"\x01", service.as_bytes(), &body]).unwrap();
        }
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    siege("come-and-go", broker(), |endpoint| {
        for number in 0..1000 {
            let Ok(mut peer) = Wire::connect(endpoint, "DEALER", b"") else { continue };
            let frames: &[&[u8]] = match number % 2 {
                0 => &[b"MDPW02", b"\x01", b"fleeting"],
                _ => &[b"MDPC02", b"\x01", b"fleeting", b"body"],
            };
            let _ = peer.send(frames);
        }
    });
}

/// Takes a peer in as a ROUTER would, and hands it to `answer` when it has said what begins with `header`.
fn false_broker(header: &'static [u8], answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ready = frame(4, b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00");
        stream.write_all(&[greeting().as_slice(), &ready].concat()).unwrap();
        let mut space = [0; 4096];
        let mut read = 0;
        while !space[..read].windows(header.len()).any(|bytes| bytes == header) {
            let count = stream.read(&mut space[read..]).unwrap();
            assert!(count > 0, "it hung up before it said anything");
            read += count;
        }
        answer(&mut stream);
        // It hangs up when it has what it wants.
        let _ = stream.read(&mut space);
    });
    endpoint
}

/// Writes a message whatever becomes of it.
fn say(stream: &mut TcpStream, frames: &Frames) {
    let last = frames.len() - 1;
    for (index, body) in frames.iter().enumerate() {
        let _ = stream.write_all(&frame(u8::from(index < last), body));
    }
}

/// What no broker may say.
fn nonsense_of_a_broker() -> Vec<Frames> {
    vec![
        message(&[b""]),
        message(&[b"MDPC02".as_slice(), b"\x03", b"other", b"body"]),
        message(&[b"MDPC02".as_slice(), b"\x03", b"echo"]),
        message(&[b"MDPC02".as_slice(), b"\x09", b"echo", b"body"]),
        message(&[b"MDPX02".as_slice(), b"\x03", b"echo", b"body"]),
        message(&[b"".as_slice(), b"MDPC01", b"echo", b"body"]),
        message(&[b"MDPW02".as_slice(), b"\x02", b"client", b"", b"body"]),
        message(&[b"MDPW02".as_slice(), b"\x02", b"client"]),
        message(&[b"MDPW02".as_slice(), b"\x02", b"", b"", b""]),
        message(&[b"MDPW02".as_slice(), b"\x01", b"echo"]),
        message(&[b"MDPW02".as_slice(), b"\xff"]),
        message(&[b"MDPW02".as_slice(), b""]),
        message(&vec![b"x".as_slice(); 200]),
    ]
}

#[test]
fn a_broker_that_answers_nonsense_makes_a_call_fail_and_not_panic() {
    let calls: Vec<_> = nonsense_of_a_broker()
        .into_iter()
        .map(|frames| {
            let shown = format!("{frames:?}");
            let endpoint = false_broker(b"MDPC", move |stream| say(stream, &frames));
            let words = ["call", "echo", "body", "--broker", &endpoint, "--timeout", "1s"];
            (shown, Process::start(&mut playhouse(&words)))
        })
        .collect();
    for (shown, mut call) in calls {
        let ended = call.ended(PATIENCE);
        // An error of ours has a code of ten or more: not success, not a panic, not a signal.
        assert!(ended.code.is_some_and(|code| (10..30).contains(&code)), "{shown}: {ended:?}");
        assert!(!ended.complaints.contains("panicked"), "{shown}: {ended:?}");
    }
}

#[test]
fn a_worker_outlives_a_broker_that_says_nonsense() {
    let (sender, said) = std::sync::mpsc::channel();
    let endpoint = false_broker(b"MDPW", move |stream| {
        for frames in nonsense_of_a_broker() {
            say(stream, &frames);
        }
        sender.send(()).unwrap();
    });
    let words = ["worker", "echo", "--broker", &endpoint, "--", "cat"];
    let mut worker = Process::start(&mut playhouse(&words));
    said.recv_timeout(PATIENCE).unwrap();
    // It still does what it is told, and had no panic before.
    worker.terminate();
    let ended = worker.ended(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.complaints.contains("panicked"), "{ended:?}");
}
