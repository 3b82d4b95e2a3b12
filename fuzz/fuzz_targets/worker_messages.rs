//! Lets a broker say to a worker whatever the input holds, while its connection comes and goes, the clock jumps, and replies
//! are given to requests of now and of before. It has one request at a time, and says nothing without a connection.

#![no_main]

mod input;

use std::time::{Duration, Instant};

use input::Input;
use libfuzzer_sys::fuzz_target;
use playhouse_mdp::protocol::{Address, Service, Version, Worker, WorkerCommand, WorkerOutput, WorkerSettings};
use playhouse_mdp::protocol::{ToBroker, decode_at_broker, encode};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let version = if input.byte().is_multiple_of(2) { Version::V1 } else { Version::V2 };
    let settings = WorkerSettings { version, ..WorkerSettings::default() };
    let mut now = Instant::now();
    let mut worker = Worker::new(Service::new("echo").expect("a name"), settings, now);
    let (mut is_open, mut has_ended, mut under_way, mut last) = (false, false, None, 0);
    while !input.is_empty() {
        let mut outputs = Vec::new();
        let (mut answered, mut opened) = (false, false);
        match input.byte() % 12 {
            0 => {
                opened = true;
                worker.opened(now, &mut outputs);
            }
            1 => worker.lost(now, &mut outputs),
            2 => worker.receive(input.frames(), now, &mut outputs),
            3 | 4 => {
                let request = encode::assignment(version, &Address::new("client"), &input.body());
                worker.receive(request, now, &mut outputs);
            }
            5 => worker.receive(encode::heartbeat(version), now, &mut outputs),
            6 => worker.receive(encode::disconnect(version), now, &mut outputs),
            7 => {
                let number = u64::from(input.byte()) % 8;
                let sent = worker.reply_partially(number, input.body(), now, &mut outputs);
                assert_eq!(sent, version == Version::V2 && under_way == Some(number));
            }
            8 => {
                let number = last - u64::from(input.byte() % 2).min(last);
                answered = worker.reply(number, input.body(), now, &mut outputs);
                assert_eq!(answered, under_way == Some(number));
            }
            9 => worker.give_back(u64::from(input.byte()) % 8, now, &mut outputs),
            10 => {
                now += Duration::from_millis(u64::from(input.byte()) * u64::from(input.byte()));
                worker.tick(now, &mut outputs);
                assert!(outputs.len() <= 1, "a burst of heartbeats");
                assert!(worker.next_tick().is_none_or(|next| next > now));
            }
            _ if input.byte() == 0 => worker.stop(&mut outputs),
            _ => {}
        }
        if answered {
            under_way = None;
        }
        for output in outputs {
            assert!(!has_ended, "it goes on after its end: {output:?}");
            match output {
                WorkerOutput::Send(frames) => {
                    let command = decode_at_broker(frames).expect("it says what a broker understands");
                    let ToBroker::Worker { command, .. } = command else { panic!("it speaks as a client") };
                    let is_ready = matches!(command, WorkerCommand::Ready { .. });
                    assert!(if is_ready { opened && !is_open } else { is_open }, "{command:?}");
                    is_open |= is_ready;
                }
                WorkerOutput::Request { number, .. } => {
                    assert!(number > last && under_way.is_none() && is_open);
                    (last, under_way) = (number, Some(number));
                }
                WorkerOutput::Reopen { at } => {
                    assert!(at > now);
                    (is_open, under_way) = (false, None);
                }
                WorkerOutput::Close => (is_open, has_ended, under_way) = (false, true, None),
            }
        }
        assert_eq!(worker.next_tick().is_some(), is_open);
    }
});
