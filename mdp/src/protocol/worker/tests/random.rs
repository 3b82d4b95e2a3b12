//! Whatever a broker, the connection, the workplace and the clock do, a worker answers no request twice and none of an earlier
//! registration, has one at a time, beats while it is registered, and ends once it was told to and owes no answer.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::protocol::{ToBroker, decode_at_broker};

#[derive(Clone, Debug)]
enum Step {
    Opened,
    Lost,
    Request,
    Beat,
    Disconnect,
    Garbage,
    /// So many requests ago is the one that is answered.
    Reply {
        back: u64,
        is_final: bool,
    },
    GiveBack(u64),
    After(u64),
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Opened),
        1 => Just(Step::Lost),
        4 => Just(Step::Request),
        1 => Just(Step::Beat),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Garbage),
        4 => (0..3_u64, any::<bool>()).prop_map(|(back, is_final)| Step::Reply { back, is_final }),
        1 => (0..3_u64).prop_map(Step::GiveBack),
        3 => (0..10_000_u64).prop_map(Step::After),
        1 => Just(Step::Stop),
    ]
}

/// What the broker and the workplace know, beside the worker itself.
struct World {
    bench: Bench,
    is_open: bool,
    is_stopping: bool,
    has_ended: bool,
    under_way: Option<u64>,
    last: u64,
}

impl World {
    fn take(&mut self, step: Step) {
        let (now, mut outputs) = (self.bench.now, Vec::new());
        let worker = &mut self.bench.worker;
        match step {
            Step::Opened => worker.opened(now, &mut outputs),
            Step::Lost => worker.lost(now, &mut outputs),
            Step::Request => outputs = self.bench.request(),
            Step::Beat => outputs = self.bench.receive(ToWorker::Heartbeat),
            Step::Disconnect => outputs = self.bench.receive(ToWorker::Disconnect),
            Step::Garbage => worker.receive(body("garbage"), now, &mut outputs),
            Step::Reply { back, is_final: true } => {
                let number = self.last.saturating_sub(back);
                let is_wanted = self.under_way.take_if(|own| *own == number).is_some();
                assert_eq!(worker.reply(number, body("x"), now, &mut outputs), is_wanted);
                assert_eq!(commands(&outputs, "Final"), usize::from(is_wanted));
            }
            Step::Reply { back, is_final: false } => {
                let number = self.last.saturating_sub(back);
                let is_wanted = self.under_way == Some(number) && self.bench.version == Version::V2;
                assert_eq!(worker.reply_partially(number, body("x"), now, &mut outputs), is_wanted);
                assert_eq!(commands(&outputs, "Partial"), usize::from(is_wanted));
            }
            Step::GiveBack(back) => {
                let number = self.last.saturating_sub(back);
                worker.give_back(number, now, &mut outputs);
                assert_eq!(commands(&outputs, "Disconnect"), usize::from(self.under_way == Some(number)));
            }
            Step::After(millis) => {
                outputs = self.bench.after(millis);
                assert!(outputs.len() <= 1, "a burst of heartbeats");
                assert!(self.bench.worker.next_tick().is_none_or(|next| next > self.bench.now), "it would spin");
            }
            Step::Stop => {
                self.is_stopping = true;
                worker.stop(&mut outputs);
            }
        }
        outputs.into_iter().for_each(|output| self.see(output));
        self.check();
    }

    fn see(&mut self, output: WorkerOutput) {
        assert!(!self.has_ended, "it goes on after its end: {output:?}");
        match output {
            WorkerOutput::Send(frames) => {
                let is_ready = command(frames).starts_with("Ready");
                assert_ne!(is_ready, self.is_open, "READY comes first, and once");
                self.is_open = true;
            }
            WorkerOutput::Request { number, .. } => {
                assert!(number > self.last && self.is_open && !self.is_stopping);
                assert_eq!(self.under_way.replace(number), None, "it has two requests");
                self.last = number;
            }
            WorkerOutput::Reopen { at } => {
                assert!(at > self.bench.now && !self.is_stopping);
                (self.is_open, self.under_way) = (false, None);
            }
            WorkerOutput::Close => (self.is_open, self.has_ended, self.under_way) = (false, true, None),
        }
    }

    fn check(&self) {
        assert_eq!(self.bench.worker.next_tick().is_some(), self.is_open);
        assert!(!self.is_stopping || self.has_ended || self.under_way.is_some(), "nothing holds it up, yet it stays");
    }
}

fn command(frames: Frames) -> String {
    match decode_at_broker(frames) {
        Ok(ToBroker::Worker { command, .. }) => format!("{command:?}"),
        other => panic!("it says what is no command of a worker: {other:?}"),
    }
}

fn commands(outputs: &[WorkerOutput], name: &str) -> usize {
    let is_named = |output: &&WorkerOutput| match output {
        WorkerOutput::Send(frames) => command(frames.clone()).starts_with(name),
        _ => false,
    };
    outputs.iter().filter(is_named).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_is_answered_twice_and_a_stop_ends(is_first: bool, steps in vec(step(), 1..120)) {
        let version = if is_first { Version::V1 } else { Version::V2 };
        let bench = Bench::new(version);
        let mut world =
            World { bench, is_open: true, is_stopping: false, has_ended: false, under_way: None, last: 0 };
        for step in steps {
            world.take(step);
        }
        world.take(Step::Stop);
        world.take(Step::Reply { back: 0, is_final: true });
        assert!(world.has_ended, "it has answered all that it had");
    }
}
