//! Whole events, between a sink and a source.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use playhouse_actors::Delay;
use playhouse_engine::testing::at_rest;
use playhouse_engine::{Director, Error, Event, Kind, Receipt, assert_ledger, map, sink as take};
use serde_json::json;

use super::*;

/// What a source says first, and what a sink does.
const SOURCE: &[u8] = b"\xc1PHT\x01\x02\0\0\0\0\x13\x88\0\x80\0\0";
const SINK: &[u8] = b"\xc1PHT\x01\x01\0\0\0\0\x13\x88\0\x80\0\0";

#[tokio::test]
async fn an_event_arrives_as_it_was_and_is_acknowledged_when_it_has_ended() {
    let (mut source, address) = source(TcpSourceSettings::default()).await;
    let sink = sink(&address, quick()).await;
    for event in [
        Event::new("tea"),
        Event::new(json!({"cups": [1, 2.5, null]})).with_attribute("table", 7_i64).with_correlation_id("order-7"),
        Event::new(vec![0xff; 300_000]).expires_in(Duration::from_secs(10)),
        Event::new(()).with_error(Error::conflict("no cup")),
    ] {
        let (receipt, settled) = Receipt::awaited();
        let mut settled = std::pin::pin!(settled);
        sink.send(event.clone().with_receipt(receipt)).await.unwrap();
        let came = source.output().await.unwrap();
        assert_eq!((came.id(), came.correlation_id()), (event.id(), event.correlation_id()));
        assert_eq!(came.payload().format(), event.payload().format());
        assert_eq!(came.payload().to_bytes(), event.payload().to_bytes());
        assert_eq!(came.attribute("table"), event.attribute("table"));
        assert_eq!(came.error().map(Error::kind), event.error().map(Error::kind));
        assert_eq!(came.deadline().is_some(), event.deadline().is_some());
        // It has not ended there: it has not ended here.
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut settled).await.is_err());
        drop(came);
        settled.await.unwrap();
    }
    assert_eq!(sink.stop().await.unwrap().failed, 0);
    assert_ledger!(source.stop().await.unwrap(), delivered = 4);
}

#[tokio::test]
async fn an_event_that_fails_there_fails_here_with_the_same_error() {
    let (listener, address) = listener();
    let mut director = Director::new("there");
    let source = director.register("source", TcpSource::on(listener, TcpSourceSettings::default()).unwrap());
    let refuse = director.register(
        "refuse",
        map(|event: &Event| match &*event.payload().to_string() {
            "bad" => Err(Error::conflict("no cup is left").retry_after(Duration::from_secs(3))),
            "long" => Err(Error::conflict("no cup is left").caused_by("x".repeat(200_000))),
            _ => Ok(Vec::new()),
        }),
    );
    director.connect(source, refuse);
    let end = director.register("end", take(|_: &Event| Ok(())));
    director.connect(refuse, end);
    let there = director.build().unwrap().start().await.unwrap();
    let mut sink = sink(&address, quick()).await;
    for text in ["good", "bad", "good"] {
        sink.send(Event::new(text)).await.unwrap();
    }
    let failed = sink.error().await.unwrap();
    let error = failed.error().unwrap();
    assert_eq!((error.kind(), error.message(), error.actor()), (Kind::Conflict, "no cup is left", Some("refuse")));
    assert_eq!((error.wait(), failed.payload().to_string()), (Some(Duration::from_secs(3)), "bad".into()));
    drop(failed);
    // What would be too long to tell is told without what caused it.
    sink.send(Event::new("long")).await.unwrap();
    let failed = sink.error().await.unwrap();
    let error = failed.error().unwrap();
    assert_eq!((error.kind(), error.to_string()), (Kind::Conflict, "no cup is left".into()));
    drop(failed);
    assert_ledger!(sink.stop().await.unwrap(), failed = 2);
    assert_eq!(there.stop(PATIENCE).await.unwrap().failed, 2);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_order_to_who_comes_after() {
    let (listener, address) = listener();
    let sink = sink(&address, quick()).await;
    for number in 0..100 {
        sink.send(Event::new(number.to_string())).await.unwrap();
    }
    // It takes all of it, and acknowledges the third alone, and half of something else.
    let (mut first, _) = tokio::task::spawn_blocking({
        let listener = listener.try_clone().unwrap();
        move || listener.accept().unwrap()
    })
    .await
    .unwrap();
    first.write_all(SOURCE).unwrap();
    let mut came = vec![0; 4096];
    assert!(
        tokio::task::spawn_blocking({
            let mut first = first.try_clone().unwrap();
            move || first.read(&mut came).unwrap()
        })
        .await
        .unwrap()
            > 0
    );
    // Everything is sent before it is answered.
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.write_all(b"\0\0\0\x0d\x02\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x20").unwrap();
    at_most(&sink, 99).await;
    drop(first);
    let mut second = Probe::new(TcpSource::on(listener, TcpSourceSettings::default()).unwrap()).await.unwrap();
    for number in (0..100).filter(|number| *number != 2) {
        assert_eq!(second.output().await.unwrap().payload().to_string(), number.to_string());
    }
    assert_eq!(sink.stop().await.unwrap().failed, 0);
    assert_ledger!(second.stop().await.unwrap(), delivered = 99);
}

/// Waits until the sink holds no more than `count` events.
async fn at_most(sink: &Probe, count: u64) {
    let began = Instant::now();
    while sink.monitor().actor("probed").unwrap().held > count {
        assert!(began.elapsed() < PATIENCE, "{}", sink.monitor().actor("probed").unwrap().held);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_once_the_time_of_an_event_is_up() {
    let (listener, address) = listener();
    drop(listener);
    let settings = TcpSinkSettings { time_out: Duration::from_millis(200), ..quick() };
    let mut sink = sink(&address, settings).await;
    sink.send(Event::new("a")).await.unwrap();
    sink.send(Event::new("b").expires_in(Duration::from_millis(40))).await.unwrap();
    let began = Instant::now();
    for text in ["b", "a"] {
        let failed = sink.error().await.unwrap();
        let error = failed.error().unwrap();
        assert_eq!((failed.payload().to_string(), error.kind()), (text.into(), Kind::Unavailable));
        let told =
            format!("the event could not be sent in its time: cannot connect to `{address}`: Connection refused");
        assert!(error.to_string().starts_with(&told), "{error}");
    }
    assert!(began.elapsed() > Duration::from_millis(150));
    assert_ledger!(sink.stop().await.unwrap(), failed = 2);
}

#[tokio::test(start_paused = true)]
async fn each_event_has_its_whole_time_however_long_others_have_waited() {
    let (listener, address) = listener();
    drop(listener);
    let settings = TcpSinkSettings { time_out: Duration::from_secs(8), ..quick() };
    let mut sink = sink(&address, settings).await;
    let began = tokio::time::Instant::now();
    sink.send(Event::new("early")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    sink.send(Event::new("late")).await.unwrap();
    for (text, second) in [("early", 8), ("late", 14)] {
        assert_eq!(sink.error().await.unwrap().payload().to_string(), text);
        assert_eq!(began.elapsed().as_secs(), second, "{text}");
    }
    assert_ledger!(sink.stop().await.unwrap(), failed = 2);
}

#[tokio::test]
async fn a_sink_waits_for_a_source_that_comes_later() {
    let (listener, address) = listener();
    drop(listener);
    let sink = sink(&address, quick()).await;
    let (receipt, settled) = Receipt::awaited();
    sink.send(Event::new("a").with_receipt(receipt)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut source = Probe::new(TcpSource::bind(address.clone(), TcpSourceSettings::default()).unwrap()).await.unwrap();
    drop(source.output().await.unwrap());
    settled.await.unwrap();
    sink.stop().await.unwrap();
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_source_is_left_for_the_next_address() {
    // It greets, with a heartbeat of 20 ms, and gives none.
    let script = "
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
peer.sendall(b'\\xc1PHT\\x01\\x02\\0\\0\\0\\0\\0\\x14\\0\\x80\\0\\0')
time.sleep(60)
";
    let mut silent = Python::run(script, &[]);
    let mut port = [0; 16];
    let length = silent.0.stdout.as_mut().unwrap().read(&mut port).await.unwrap();
    let first = format!("127.0.0.1:{}", std::str::from_utf8(&port[..length]).unwrap().trim());
    let (mut source, second) = source(TcpSourceSettings::default()).await;
    let sink = Probe::new(TcpSink::to([first, second], quick()).unwrap()).await.unwrap();
    sink.send(Event::new("a")).await.unwrap();
    assert_eq!(source.output().await.unwrap().payload().to_string(), "a");
    assert_eq!(sink.stop().await.unwrap().failed, 0);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_process_at_the_other_end_is_noticed_and_its_silence_cuts_it_off() {
    let settings = TcpSourceSettings { heartbeat: Duration::from_millis(20), ..TcpSourceSettings::default() };
    let (source, address) = source(settings).await;
    // A sink that greets with a heartbeat of 20 ms, and stops itself.
    let script = format!(
        "{CONNECT}
peer.sendall(b'\\xc1PHT\\x01\\x01\\0\\0\\0\\0\\0\\x14\\0\\x80\\0\\0')
print('here', flush=True)
os.kill(os.getpid(), 19)
while peer.recv(4096): pass
print('cut off', flush=True)
"
    );
    let mut sink = Python::run(&script, &[&address]);
    let mut here = [0; 5];
    sink.0.stdout.as_mut().unwrap().read_exact(&mut here).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let id = sink.0.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-CONT", &id]).status().await.unwrap().success());
    assert_eq!(sink.printed().await, "cut off\n");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn strangers_are_told_apart_and_cut_off() {
    let (listener, address) = listener();
    let source = TcpSource::on(listener, TcpSourceSettings::default()).unwrap();
    let refused = source.refused();
    let mut source = Probe::new(source).await.unwrap();
    let script = format!(
        "{CONNECT}
peer.sendall(eval(sys.argv[2]))
came = b''
while True:
    try:
        more = peer.recv(4096)
    except ConnectionResetError:
        break
    if not more: break
    came += more
print(came[16:])
"
    );
    let sink = "b'\\xc1PHT\\x01\\x01\\0\\0\\0\\0\\x13\\x88\\0\\x80\\0\\0'";
    for (number, (said, answer)) in [
        ("b'GET / HTTP/1.1\\r\\n\\r\\n'".to_owned(), ""),
        (sink.replacen("\\x01", "\\x07", 1), ""),
        (format!("{sink} + b'\\0\\x90\\0\\0'"), "expected a frame of 8454149 bytes at most, found 9437184"),
        (format!("{sink} + b'\\0\\0\\0\\x01\\x09'"), "expected a frame that is known, found one of sort 9"),
        (format!("{sink} + b'\\0\\0\\0\\0'"), "expected a frame to say what it is, found an empty one"),
        (format!("{sink} + b'\\0\\0\\0\\x0d\\x02' + bytes(12)"), "expected events and heartbeats, found an answer"),
    ]
    .into_iter()
    .enumerate()
    {
        let printed = Python::run(&script, &[&address, &said]).printed().await;
        assert!(printed.contains(answer), "{said}: {printed}");
        let began = Instant::now();
        while refused.get() != number as u64 + 1 {
            assert!(began.elapsed() < PATIENCE, "{said}");
            tokio::task::yield_now().await;
        }
    }
    // An envelope that cannot be opened fails alone, and the connection goes on.
    let mut peer = TcpStream::connect(&address).unwrap();
    peer.write_all(SINK).unwrap();
    peer.write_all(b"\0\0\0\x05\x01nope").unwrap();
    let mut event = bytes::BytesMut::new();
    playhouse_engine::Envelope::write(&Event::new("good"), &mut event);
    peer.write_all(&u32::try_from(event.len() + 1).unwrap().to_be_bytes()).unwrap();
    peer.write_all(b"\x01").unwrap();
    peer.write_all(&event).unwrap();
    assert_eq!(source.output().await.unwrap().payload().to_string(), "good");
    let mut came = vec![0; 16 + 5];
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let came = tokio::task::spawn_blocking(move || {
        peer.read_exact(&mut came).unwrap();
        came
    })
    .await
    .unwrap();
    assert_eq!(came[20], 3, "the first one has failed");
    assert_ledger!(source.stop().await.unwrap(), delivered = 1);
}

#[tokio::test]
async fn a_sink_says_that_the_other_side_is_none_of_ours() {
    for (says, expected) in [
        ("b'HTTP/1.1 400 Bad Request\\r\\n'", "expected the greeting of a playhouse peer, found `HTTP/1.1 400 Bad`"),
        ("b'\\xc1PHT\\x02'", "`version` of the peer: expected 1, found 2"),
        ("b''", "did not greet in 100ms"),
    ] {
        let script = "
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(eval(sys.argv[1]))
    peer.recv(1)
    kept = peer
";
        let mut python = Python::run(script, &[says]);
        let mut port = [0; 16];
        let length = python.0.stdout.as_mut().unwrap().read(&mut port).await.unwrap();
        let address = format!("127.0.0.1:{}", std::str::from_utf8(&port[..length]).unwrap().trim());
        let settings = TcpSinkSettings {
            time_out: Duration::from_millis(400),
            handshake_time: Duration::from_millis(100),
            ..quick()
        };
        let mut sink = sink(&address, settings).await;
        sink.send(Event::new("a")).await.unwrap();
        let failed = sink.error().await.unwrap();
        let error = failed.error().unwrap();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains(expected), "{error}");
        assert_ledger!(sink.stop().await.unwrap(), failed = 1);
    }
}

#[tokio::test]
async fn the_window_paces_the_sink() {
    let (listener, address) = listener();
    let mut director = Director::new("there");
    let source = director.register("source", TcpSource::on(listener, TcpSourceSettings::default()).unwrap());
    let hold = director.register("hold", Delay::by(Duration::from_secs(3600)).unwrap());
    let end = director.register("end", take(|_: &Event| Ok(())));
    director.connect(source, hold);
    director.connect(hold, end);
    let there = director.build().unwrap().start().await.unwrap();
    let sink = sink(&address, TcpSinkSettings { window: 10, ..quick() }).await;
    for number in 0..25 {
        sink.send(Event::new(number.to_string())).await.unwrap();
    }
    let began = Instant::now();
    while there.monitor().actor("hold").unwrap().held < 10 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(sink.monitor().actor("probed").unwrap().held, 10);
    assert_eq!(there.monitor().actor("hold").unwrap().held, 10);
    // What is delayed goes on when the flow stops, and is acknowledged; the rest finds nobody, and waits for it.
    there.stop(PATIENCE).await.unwrap();
    at_most(&sink, 10).await;
    let mut later = Probe::new(TcpSource::bind(address, TcpSourceSettings::default()).unwrap()).await.unwrap();
    for number in 10..25 {
        assert_eq!(later.output().await.unwrap().payload().to_string(), number.to_string());
    }
    assert_ledger!(sink.stop().await.unwrap(), failed = 0);
    later.stop().await.unwrap();
}

#[tokio::test]
async fn a_source_that_does_not_acknowledge_fails_the_event_in_its_time() {
    let (mut source, address) = source(TcpSourceSettings::default()).await;
    let mut sink = sink(&address, TcpSinkSettings { time_out: Duration::from_millis(100), ..quick() }).await;
    sink.send(Event::new("a")).await.unwrap();
    let kept = source.output().await.unwrap();
    let failed = sink.error().await.unwrap();
    assert_eq!(failed.error().unwrap().kind(), Kind::Timeout);
    drop(kept);
    // The late acknowledgement is of no event any more, and does no harm.
    sink.send(Event::new("b")).await.unwrap();
    drop(source.output().await.unwrap());
    assert_ledger!(sink.stop().await.unwrap(), failed = 1);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_other_side_would_not_take_fails_before_it_is_sent() {
    let envelope = playhouse_engine::EnvelopeLimits { head: 1000, payload: 100, ..Default::default() };
    let (mut source, address) = source(TcpSourceSettings { envelope, ..TcpSourceSettings::default() }).await;
    let mut sink = sink(&address, quick()).await;
    sink.send(Event::new("a".repeat(2000))).await.unwrap();
    // This one it takes, and refuses.
    sink.send(Event::new("a".repeat(200))).await.unwrap();
    sink.send(Event::new("small")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(sink.error().await.unwrap().error().unwrap().kind(), Kind::TooLarge);
    }
    assert_eq!(source.output().await.unwrap().payload().to_string(), "small");
    assert_ledger!(sink.stop().await.unwrap(), failed = 2);
    source.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing() {
    // Each source stops in the middle, and the next one goes on.
    let (listener, address) = listener();
    drop(listener);
    let sink = sink(&address, quick()).await;
    let monitor = sink.monitor();
    let sending = tokio::spawn(async move {
        for number in 0..20_000_u32 {
            sink.send(Event::new(number.to_string())).await.unwrap();
        }
        sink
    });
    let mut delivered = 0;
    let mut last = None;
    for round in 0..6 {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = seen.clone();
        let mut director = Director::new("there");
        let settings = TcpSourceSettings::default();
        let source = director.register("source", TcpSource::bind(address.clone(), settings).unwrap());
        let end = director.register(
            "end",
            take(move |event: &Event| {
                noted.lock().unwrap().push(event.payload().to_string().parse::<u32>().unwrap());
                Ok(())
            }),
        );
        director.connect(source, end);
        let there = director.build().unwrap().start().await.unwrap();
        let began = Instant::now();
        while seen.lock().unwrap().len() < 500 && round < 5 {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if round == 5 {
            at_rest(&monitor).await.unwrap();
        }
        let ledger = there.stop(PATIENCE).await.unwrap();
        assert_eq!((ledger.failed, ledger.dropped), (0, 0), "{ledger}");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        // Each stop is clean: what one has taken is acknowledged, and nothing comes twice.
        assert!(seen.is_sorted() && last < seen.first().copied(), "{last:?} {:?}", seen.first());
        last = seen.last().copied();
        delivered += seen.len();
    }
    assert_eq!(delivered, 20_000);
    let ledger = sending.await.unwrap().stop().await.unwrap();
    assert_ledger!(ledger, failed = 0, dropped = 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sinks_are_served_and_the_next_one_is_refused() {
    let (listener, address) = listener();
    let settings = TcpSourceSettings { connections: 1000, ..TcpSourceSettings::default() };
    let source = TcpSource::on(listener, settings).unwrap();
    let refused = source.refused();
    let mut director = Director::new("there");
    let source = director.register("source", source);
    let end = director.register("end", take(|_: &Event| Ok(())));
    director.connect(source, end);
    let there = director.build().unwrap().start().await.unwrap();
    let peers = tokio::task::spawn_blocking({
        let address = address.clone();
        move || {
            let mut peers: Vec<_> = (0..1000).map(|_| TcpStream::connect(&address).unwrap()).collect();
            let mut frame = bytes::BytesMut::new();
            playhouse_engine::Envelope::write(&Event::new("a"), &mut frame);
            let mut said = SINK.to_vec();
            said.extend(u32::try_from(frame.len() + 1).unwrap().to_be_bytes());
            said.push(1);
            said.extend(&frame);
            peers.iter_mut().for_each(|peer| peer.write_all(&said).unwrap());
            for peer in &mut peers {
                let mut came = [0; 16 + 17];
                peer.set_read_timeout(Some(PATIENCE)).unwrap();
                peer.read_exact(&mut came).unwrap();
                assert_eq!(came[20], 2, "it is delivered");
            }
            peers
        }
    })
    .await
    .unwrap();
    let settings = TcpSinkSettings { time_out: Duration::from_millis(300), ..quick() };
    let mut sink = sink(&address, settings).await;
    sink.send(Event::new("a")).await.unwrap();
    let failed = sink.error().await.unwrap();
    assert!(failed.error().unwrap().to_string().contains("1000 connections are open already"), "{failed:?}");
    assert!(refused.get() > 0);
    drop(peers);
    drop(failed);
    sink.stop().await.unwrap();
    assert_ledger!(there.stop(PATIENCE).await.unwrap(), delivered = 1000);
}
