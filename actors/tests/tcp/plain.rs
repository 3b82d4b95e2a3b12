//! Lines and frames, with Python at the other end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use playhouse_actors::{Framing, InvalidText};
use playhouse_engine::{Director, Error, Event, Format, Kind, assert_ledger, map};

use super::*;

fn lines() -> TcpSourceSettings {
    TcpSourceSettings { framing: Framing::Lines, ..TcpSourceSettings::default() }
}

fn line_sink() -> TcpSinkSettings {
    TcpSinkSettings { framing: Framing::Lines, ..quick() }
}

#[tokio::test]
async fn lines_of_anybody_are_events() {
    let (mut source, address) = source(lines()).await;
    let script = format!(
        "{CONNECT}
peer.sendall(b'one\\r\\ntwo\\nth')
time.sleep(0.02)
peer.sendall(b'ree\\n\\xff\\nlast')
print(peer.getsockname()[1])
"
    );
    let port = Python::run(&script, &[&address]).printed().await;
    for expected in ["one", "two", "three"] {
        let event = source.output().await.unwrap();
        assert_eq!((event.payload().format(), &*event.payload().to_string()), (Format::TEXT, expected));
        assert_eq!(event.attributes().text("tcp.peer").unwrap(), format!("127.0.0.1:{}", port.trim()));
        assert!(event.attributes().integer("tcp.connection").is_some());
    }
    let event = source.output().await.unwrap();
    assert_eq!((event.payload().format(), &event.payload().to_bytes()[..]), (Format::BYTES, &[0xff][..]));
    drop(event);
    assert_eq!(source.output().await.unwrap().payload().to_string(), "last");
    assert_ledger!(source.stop().await.unwrap(), delivered = 5);
}

#[tokio::test]
async fn whoever_asks_by_a_line_is_answered_by_one() {
    let (listener, address) = listener();
    let mut director = Director::new("shout");
    let source = director.register("source", TcpSource::on(listener, lines()).unwrap());
    let shout = director.register(
        "shout",
        map(|event: &Event| match &*event.payload().to_string() {
            "bad" => Err(Error::conflict("no\ncup")),
            text => Ok(event.derive(text.to_uppercase())),
        }),
    );
    director.connect(source, shout);
    director.connect(shout, source);
    director.connect_default_error(source);
    let running = director.build().unwrap().start().await.unwrap();
    // As `printf 'a\nb' | nc` does: it ends its half, and reads the answers.
    let script = format!(
        "{CONNECT}
peer.sendall(b'tea\\nbad\\ncake')
peer.shutdown(socket.SHUT_WR)
came = b''
while more := peer.recv(100): came += more
print(came)
"
    );
    let printed = Python::run(&script, &[&address]).printed().await;
    assert_eq!(printed.trim(), "b'TEA\\nerror: no cup (conflict)\\nCAKE\\n'");
    // And one line after the other.
    let script = format!(
        "{CONNECT}
stream = peer.makefile('rw')
for word in ('a', 'b', 'c'):
    stream.write(word + '\\n')
    stream.flush()
    print(stream.readline(), end='')
"
    );
    assert_eq!(Python::run(&script, &[&address]).printed().await, "A\nB\nC\n");
    assert_ledger!(running.stop(PATIENCE).await.unwrap(), dropped = 0);
}

#[tokio::test]
async fn an_answer_to_who_is_gone_or_to_nobody_is_an_error() {
    let (mut source, address) = source(lines()).await;
    let mut peer = TcpStream::connect(&address).unwrap();
    peer.write_all(b"a\n").unwrap();
    let asked = source.output().await.unwrap();
    source.send(asked.derive("two\nlines")).await.unwrap();
    assert_eq!(source.error().await.unwrap().error().unwrap().kind(), Kind::Unprocessable);
    source.send(Event::new("b")).await.unwrap();
    assert_eq!(source.error().await.unwrap().error().unwrap().kind(), Kind::Malformed);
    drop(peer);
    let answer = asked.derive("late");
    drop(asked);
    let began = Instant::now();
    // Some go into the socket before the end of the other side is known.
    let error = loop {
        source.send(answer.clone()).await.unwrap();
        if let Ok(Ok(failed)) = tokio::time::timeout(Duration::from_millis(5), source.error()).await {
            break failed.error().unwrap().clone();
        }
        assert!(began.elapsed() < PATIENCE);
    };
    assert_eq!(error.kind(), Kind::Gone);
    drop(answer);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_too_long_or_no_text_fails_and_the_first_ends_the_connection() {
    let settings = TcpSourceSettings { longest_line: 10, invalid_text: InvalidText::Refuse, ..lines() };
    let (mut source, address) = source(settings).await;
    let mut peer = TcpStream::connect(&address).unwrap();
    peer.write_all(b"fine\n\xff\nfar too long").unwrap();
    assert_eq!(source.output().await.unwrap().payload().to_string(), "fine");
    for kind in [Kind::Malformed, Kind::TooLarge] {
        assert_eq!(source.error().await.unwrap().error().unwrap().kind(), kind);
    }
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = tokio::task::spawn_blocking(move || peer.read(&mut [0]));
    assert_eq!(read.await.unwrap().unwrap(), 0, "it is closed");
    assert_ledger!(source.stop().await.unwrap(), failed = 2);
}

#[tokio::test]
async fn who_says_nothing_is_closed_and_who_does_not_read_is_cut_off() {
    let settings = TcpSourceSettings {
        idle_time: Duration::from_millis(50),
        time_out: Duration::from_millis(100),
        answers: 16 << 20,
        longest_line: 8 << 20,
        ..lines()
    };
    let (mut source, address) = source(settings).await;
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(tokio::task::spawn_blocking(move || idle.read(&mut [0]).unwrap()).await.unwrap(), 0);
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(b"a\n").unwrap();
    let asked = source.output().await.unwrap();
    // More than the system takes for somebody who does not read.
    source.send(asked.derive("a".repeat(8 << 20))).await.unwrap();
    let failed = source.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Gone);
    drop((asked, failed));
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_answers_what_was_taken_in() {
    let (listener, address) = listener();
    let mut director = Director::new("slow");
    let source = director.register("source", TcpSource::on(listener, lines()).unwrap());
    let slow = director.register("slow", playhouse_actors::Delay::by(Duration::from_secs(3600)).unwrap());
    director.connect(source, slow);
    director.connect(slow, source);
    let running = director.build().unwrap().start().await.unwrap();
    let mut peer = TcpStream::connect(&address).unwrap();
    peer.write_all(b"a\nb\n").unwrap();
    let began = Instant::now();
    while running.monitor().actor("slow").unwrap().held < 2 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut came = String::new();
        peer.read_to_string(&mut came).unwrap();
        came
    });
    assert_ledger!(running.stop(PATIENCE).await.unwrap(), failed = 0);
    assert_eq!(read.await.unwrap(), "a\nb\n");
}

/// Accepts one connection, and prints all that comes.
const SERVER: &str = "
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
came = b''
while more := peer.recv(65536): came += more
print(came)
";

async fn served(python: &mut Python) -> String {
    let mut port = [0; 16];
    let length = python.0.stdout.as_mut().unwrap().read(&mut port).await.unwrap();
    format!("127.0.0.1:{}", std::str::from_utf8(&port[..length]).unwrap().trim())
}

#[tokio::test]
async fn a_sink_of_lines_is_read_by_anybody() {
    let mut python = Python::run(SERVER, &[]);
    let address = served(&mut python).await;
    let mut sink = sink(&address, line_sink()).await;
    sink.send(Event::new("one")).await.unwrap();
    sink.send(Event::new("two\nlines")).await.unwrap();
    sink.send(Event::new(serde_json::json!({"three": 3}))).await.unwrap();
    let failed = sink.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Unprocessable);
    assert_ledger!(sink.stop().await.unwrap(), failed = 1);
    assert_eq!(python.printed().await.trim(), "b'one\\n{\"three\":3}\\n'");
}

#[tokio::test]
async fn frames_of_any_bytes_go_both_ways() {
    let mut python = Python::run(SERVER, &[]);
    let address = served(&mut python).await;
    let sink = sink(&address, TcpSinkSettings { framing: Framing::LengthPrefixed, ..quick() }).await;
    sink.send(Event::new(vec![0, 10, 255])).await.unwrap();
    sink.send(Event::new(())).await.unwrap();
    sink.stop().await.unwrap();
    assert_eq!(python.printed().await.trim(), "b'\\x00\\x00\\x00\\x03\\x00\\n\\xff\\x00\\x00\\x00\\x00'");

    let settings = TcpSourceSettings { framing: Framing::LengthPrefixed, ..TcpSourceSettings::default() };
    let (mut source, address) = source(settings).await;
    let script = format!(
        "{CONNECT}
peer.sendall(struct.pack('>I', 3) + b'a\\nb' + struct.pack('>I', 9) + b'half')
size, = struct.unpack('>I', peer.recv(4, socket.MSG_WAITALL))
print(peer.recv(size, socket.MSG_WAITALL))
"
    );
    let python = Python::run(&script, &[&address]);
    let asked = source.output().await.unwrap();
    assert_eq!(&asked.payload().to_bytes()[..], b"a\nb");
    source.send(asked.derive("an\nanswer")).await.unwrap();
    drop(asked);
    assert_eq!(python.printed().await.trim(), "b'an\\nanswer'");
    // It has gone in the middle of a frame.
    let failed = source.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Malformed);
    drop(failed);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_left_and_events_wait_for_the_next() {
    let (listener, address) = listener();
    let settings = TcpSinkSettings { time_out: Duration::from_millis(300), ..line_sink() };
    let mut sink = sink(&address, settings).await;
    // Far more than the system takes for somebody who does not read.
    for _ in 0..4 {
        sink.send(Event::new("a".repeat(4 << 20))).await.unwrap();
    }
    let stuck = tokio::task::spawn_blocking(move || (listener.accept().unwrap(), listener)).await.unwrap();
    let failed = sink.error().await.unwrap();
    assert!(matches!(failed.error().unwrap().kind(), Kind::Unavailable | Kind::Timeout));
    drop((stuck, failed));
    while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(400), sink.error()).await {}
    let ledger = sink.stop().await.unwrap();
    assert!(ledger.balances() && ledger.in_flight == 0 && ledger.dropped == 0, "{ledger}");
}

#[tokio::test]
async fn what_comes_faster_than_the_flow_handles_it_waits_in_the_sender() {
    let (mut source, address) = source(lines()).await;
    let writing = tokio::task::spawn_blocking(move || {
        let mut peer = TcpStream::connect(&address).unwrap();
        let line = [&[b'a'; 999][..], b"\n"].concat();
        peer.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut written = 0;
        // Until nobody takes any more.
        while written < 100_000 && peer.write_all(&line).is_ok() {
            written += 1;
        }
        peer.set_write_timeout(None).unwrap();
        let _ = peer.shutdown(Shutdown::Write);
        written
    });
    let written = writing.await.unwrap();
    assert!((1000..100_000).contains(&written), "{written}");
    for _ in 0..written {
        assert_eq!(source.output().await.unwrap().payload().to_bytes().len(), 999);
    }
    // What of the next line was written before the sender gave up is the last one.
    let _ = tokio::time::timeout(Duration::from_millis(100), source.output()).await;
    source.stop().await.unwrap();
}
