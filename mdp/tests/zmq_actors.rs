//! The actors that push, pull, publish and subscribe: with each other, and with libzmq on the other side.

#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::testing::Probe;
use playhouse_engine::{Director, Error, Event, Kind as ErrorKind, sink};
use playhouse_mdp::protocol::Frames;
use playhouse_mdp::transport::{Kind, Socket, SocketSettings};
use playhouse_mdp::{ZmqPub, ZmqPull, ZmqPush, ZmqSettings, ZmqSub};

use pyzmq::Puppet;

#[path = "support/pyzmq.rs"]
mod pyzmq;

fn frames(parts: &[&str]) -> Frames {
    parts.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect()
}

/// An address that nobody else has, over ipc or within the process.
fn addresses() -> [String; 2] {
    let name = fastrand::u64(..);
    let path = std::env::temp_dir().join(format!("playhouse-{name:x}"));
    [format!("ipc://{}", path.display()), format!("inproc://{name:x}")]
}

fn raw(settings: ZmqSettings) -> ZmqSettings {
    ZmqSettings { raw: true, ..settings }
}

#[tokio::test]
async fn an_event_is_pushed_from_flow_to_flow_as_a_whole() {
    for address in addresses() {
        let mut pull = Probe::new(ZmqPull::new(ZmqSettings::bind(&address).unwrap())).await.unwrap();
        let push = Probe::new(ZmqPush::new(ZmqSettings::connect(&address).unwrap())).await.unwrap();
        let sent = Event::new("tea").with_attribute("table", 7_i64).expires_in(Duration::from_secs(60));
        push.send(sent.clone()).await.unwrap();
        let came = pull.output().await.unwrap();
        assert_eq!((came.id(), came.payload().to_string()), (sent.id(), "tea".to_owned()), "{address}");
        assert_eq!(came.attributes().integer("table"), Some(7));
        assert!(came.deadline().is_some());
        let ledger = push.stop().await.unwrap();
        assert_eq!(ledger.in_flight, 0);
        pull.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_event_goes_to_those_who_subscribed_to_its_topic() {
    let [address, _] = addresses();
    let settings = ZmqSettings { topic: "water".to_owned(), ..ZmqSettings::bind(&address).unwrap() };
    let publisher = Probe::new(ZmqPub::new(settings)).await.unwrap();
    let settings = ZmqSettings { subscribe: vec!["tea".into()], ..ZmqSettings::connect(&address).unwrap() };
    let mut subscriber = Probe::new(ZmqSub::new(settings)).await.unwrap();
    let sending = async {
        loop {
            publisher.send(Event::new("for nobody")).await.unwrap();
            publisher.send(Event::new("cup").with_attribute("zmq.topic", "tea.green")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::select! {
        () = sending => unreachable!(),
        came = subscriber.output() => came.unwrap(),
    };
    assert_eq!(came.payload().to_string(), "cup");
    assert_eq!(came.attribute("zmq.topic").unwrap().as_str(), Some("tea.green"));
}

#[tokio::test]
async fn raw_frames_come_from_libzmq_and_go_to_it() {
    let mut source = Puppet::bind("PUSH", "tcp://127.0.0.1:*", &[]).await;
    let mut target = Puppet::bind("PULL", "tcp://127.0.0.1:*", &[]).await;
    let mut director = Director::new("bridge");
    let pull = director.register("pull", ZmqPull::new(raw(ZmqSettings::connect(&source.address.to_string()).unwrap())));
    let push = director.register("push", ZmqPush::new(raw(ZmqSettings::connect(&target.address.to_string()).unwrap())));
    director.connect(pull, push);
    let running = director.build().unwrap().start().await.unwrap();
    for message in [frames(&["one"]), frames(&["", "two", ""]), frames(&[&"x".repeat(100_000)])] {
        source.send(&message).await;
        assert_eq!(target.receive().await, message);
    }
    running.stop(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_raw_subscription_takes_what_libzmq_publishes_and_the_other_way_round() {
    let mut publisher = Puppet::bind("PUB", "tcp://127.0.0.1:*", &[]).await;
    let settings =
        ZmqSettings { subscribe: vec!["tea".into()], ..ZmqSettings::connect(&publisher.address.to_string()).unwrap() };
    let mut subscriber = Probe::new(ZmqSub::new(raw(settings))).await.unwrap();
    let came = loop {
        publisher.send(&frames(&["tea", "green"])).await;
        if let Ok(came) = tokio::time::timeout(Duration::from_millis(10), subscriber.output()).await {
            break came.unwrap();
        }
    };
    assert_eq!(
        (came.payload().to_string(), came.attribute("zmq.topic").unwrap().to_string()),
        ("green".into(), "tea".into())
    );

    let mut listener = Puppet::bind("SUB", "tcp://127.0.0.1:*", &[]).await;
    listener.subscribe("tea").await;
    let ours =
        Probe::new(ZmqPub::new(raw(ZmqSettings::connect(&listener.address.to_string()).unwrap()))).await.unwrap();
    let sending = async {
        loop {
            ours.send(Event::new("black").with_attribute("zmq.topic", "tea")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = sending => {}
        message = listener.receive() => assert_eq!(message, frames(&["tea", "black"])),
    }
}

#[tokio::test]
async fn what_is_no_envelope_goes_along_the_error_route_and_the_next_event_comes() {
    let [address, _] = addresses();
    let mut pull = Probe::new(ZmqPull::new(ZmqSettings::bind(&address).unwrap())).await.unwrap();
    let stranger = Socket::open(Kind::Push, &SocketSettings::default()).unwrap();
    stranger.connect(&address.parse().unwrap()).await.unwrap();
    stranger.send(frames(&["what", "is this"])).unwrap();
    let refused = pull.error().await.unwrap();
    assert_eq!(refused.error().unwrap().kind(), ErrorKind::Malformed);
    assert_eq!(refused.payload().to_bytes(), "whatis this");
    let push = Probe::new(ZmqPush::new(ZmqSettings::connect(&address).unwrap())).await.unwrap();
    push.send(Event::new("good")).await.unwrap();
    assert_eq!(pull.output().await.unwrap().payload().to_string(), "good");
}

#[tokio::test]
async fn an_event_that_finds_nobody_fails_and_can_be_tried_again() {
    let [address, _] = addresses();
    let settings = ZmqSettings { patience: Duration::from_millis(20), ..ZmqSettings::bind(&address).unwrap() };
    let mut push = Probe::new(ZmqPush::new(settings)).await.unwrap();
    push.send(Event::new("lonely")).await.unwrap();
    let failed = push.error().await.unwrap();
    let error = failed.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.kind().is_transient());
}

#[tokio::test]
async fn several_peers_share_the_events_and_one_takes_from_several() {
    let [first, second] = addresses();
    let mut left = Probe::new(ZmqPull::new(ZmqSettings::bind(&first).unwrap())).await.unwrap();
    let mut right = Probe::new(ZmqPull::new(ZmqSettings::bind(&second).unwrap())).await.unwrap();
    let both = vec![first.parse().unwrap(), second.parse().unwrap()];
    let push = Probe::new(ZmqPush::new(ZmqSettings { connect: both, ..ZmqSettings::default() })).await.unwrap();
    for number in 0..100 {
        push.send(Event::new(number.to_string())).await.unwrap();
    }
    let (mut to_left, mut to_right) = (0, 0);
    while to_left + to_right < 100 {
        tokio::select! {
            event = left.output() => to_left += usize::from(event.is_ok()),
            event = right.output() => to_right += usize::from(event.is_ok()),
        }
    }
    assert!(to_left > 0 && to_right > 0, "{to_left} and {to_right}");
}

#[tokio::test]
async fn what_the_socket_holds_when_the_flow_stops_is_still_emitted() {
    let [_, address] = addresses();
    let pull = ZmqPull::new(raw(ZmqSettings::bind(&address).unwrap()));
    let mut director = Director::new("stopping");
    let (sender, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let pull = director.register("pull", pull);
    let take =
        move |event: &Event| sender.send(event.payload().to_string()).map_err(|_| Error::gone("the test is over"));
    let slow = director.register("slow", sink(take));
    director.connect(pull, slow);
    let running = director.build().unwrap().start().await.unwrap();
    let push = Socket::open(Kind::Push, &SocketSettings::default()).unwrap();
    push.connect(&address.parse().unwrap()).await.unwrap();
    for number in 0..200 {
        push.send_waiting(frames(&[&number.to_string()]), tokio::time::Instant::now() + Duration::from_secs(20))
            .await
            .unwrap();
    }
    // Within a process, what the peer has let go of is with the socket.
    push.close().await;
    handled.recv().await.unwrap();
    let ledger = running.stop(Duration::from_secs(20)).await.unwrap();
    assert_eq!(ledger.in_flight, 0);
    let mut count = 1;
    while handled.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 200);
}

#[tokio::test]
async fn an_address_open_to_the_network_without_security_stops_the_start() {
    let settings = ZmqSettings::bind("tcp://*:0").unwrap();
    let error = Probe::new(ZmqPull::new(settings.clone())).await.unwrap_err();
    assert!(error.to_string().contains("or say `--insecure`"), "{error}");
    let open = ZmqSettings { insecure: true, ..settings };
    Probe::new(ZmqPull::new(open)).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn an_actor_without_an_address_does_not_start() {
    let error = Probe::new(ZmqPush::new(ZmqSettings::default())).await.unwrap_err();
    assert!(error.to_string().contains("expected an address in `bind` or `connect`, found none"), "{error}");
}
