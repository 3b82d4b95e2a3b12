use bytes::Bytes;

use super::*;

mod random;

struct Bench {
    worker: Worker,
    now: Instant,
    version: Version,
}

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

impl Bench {
    fn new(version: Version) -> Self {
        let now = Instant::now();
        let settings = WorkerSettings { version, ..WorkerSettings::default() };
        let mut bench = Self { worker: Worker::new(Service::new("echo").unwrap(), settings, now), now, version };
        let outputs = bench.opened();
        let ready = encode::ready(version, &Service::new("echo").unwrap());
        assert_eq!(outputs, [WorkerOutput::Send(ready)]);
        bench
    }

    fn opened(&mut self) -> Vec<WorkerOutput> {
        let mut outputs = Vec::new();
        self.worker.opened(self.now, &mut outputs);
        outputs
    }

    fn receive(&mut self, message: ToWorker) -> Vec<WorkerOutput> {
        let mut outputs = Vec::new();
        let frames = match message {
            ToWorker::Request { client, body } => encode::assignment(self.version, &client, &body),
            ToWorker::Heartbeat => encode::heartbeat(self.version),
            ToWorker::Disconnect => encode::disconnect(self.version),
        };
        self.worker.receive(frames, self.now, &mut outputs);
        outputs
    }

    fn request(&mut self) -> Vec<WorkerOutput> {
        self.receive(ToWorker::Request { client: Address::new("c"), body: vec![Bytes::from_static(b"hello")] })
    }

    fn after(&mut self, millis: u64) -> Vec<WorkerOutput> {
        self.now += Duration::from_millis(millis);
        let mut outputs = Vec::new();
        self.worker.tick(self.now, &mut outputs);
        outputs
    }

    fn beat(&self) -> WorkerOutput {
        WorkerOutput::Send(encode::heartbeat(self.version))
    }

    fn leave(&self) -> WorkerOutput {
        WorkerOutput::Send(encode::disconnect(self.version))
    }
}

fn body(text: &'static str) -> Frames {
    vec![Bytes::from_static(text.as_bytes())]
}

#[test]
fn a_request_is_answered_by_partial_replies_and_a_final_one() {
    let mut bench = Bench::new(Version::V2);
    let [WorkerOutput::Request { number, client, body: asked }] = &bench.request()[..] else { panic!() };
    assert_eq!((client, asked), (&Address::new("c"), &body("hello")));
    let (number, mut outputs) = (*number, Vec::new());
    assert!(bench.worker.reply_partially(number, body("1"), bench.now, &mut outputs));
    assert!(bench.worker.reply(number, body("2"), bench.now, &mut outputs));
    let client = Address::new("c");
    let expected = [
        WorkerOutput::Send(encode::partial_answer(&client, body("1"))),
        WorkerOutput::Send(encode::final_answer(Version::V2, &client, body("2"))),
    ];
    assert_eq!(outputs, expected);
    assert!(!bench.worker.reply(number, body("again"), bench.now, &mut outputs));
}

#[test]
fn h1_it_beats_when_nothing_else_was_sent() {
    for version in VERSIONS {
        let mut bench = Bench::new(version);
        assert_eq!(bench.after(2_000), []);
        assert_eq!(bench.after(500), [bench.beat()]);
    }
}

#[test]
fn h7_it_beats_while_it_works() {
    for version in VERSIONS {
        let mut bench = Bench::new(version);
        bench.request();
        assert_eq!(bench.after(2_500), [bench.beat()]);
    }
}

#[test]
fn h8_a_jump_of_the_clock_sends_one_beat() {
    let mut bench = Bench::new(Version::V2);
    bench.after(6_000);
    bench.receive(ToWorker::Heartbeat);
    assert_eq!(bench.after(6_000).len(), 1);
    assert_eq!(bench.after(1), []);
}

#[test]
fn h5_a_silent_broker_is_given_up_and_found_again_with_growing_waits() {
    for version in VERSIONS {
        let mut bench = Bench::new(version);
        for wait in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let outputs = bench.after(7_500);
            assert_eq!(outputs, [WorkerOutput::Reopen { at: bench.now + Duration::from_millis(wait) }]);
            assert_eq!(bench.worker.next_tick(), None);
            assert_eq!(bench.opened().len(), 1);
        }
        bench.receive(ToWorker::Heartbeat);
        assert_eq!(bench.after(7_500), [WorkerOutput::Reopen { at: bench.now + Duration::from_millis(100) }]);
    }
}

#[test]
fn s9_told_to_disconnect_it_sends_nothing_more_and_opens_a_new_socket() {
    for version in VERSIONS {
        let mut bench = Bench::new(version);
        let [WorkerOutput::Request { number, .. }] = bench.request()[..] else { panic!() };
        assert!(matches!(bench.receive(ToWorker::Disconnect)[..], [WorkerOutput::Reopen { .. }]));
        let mut outputs = Vec::new();
        assert!(!bench.worker.reply(number, body("late"), bench.now, &mut outputs));
        assert_eq!((outputs, bench.after(60_000)), (vec![], vec![]));
        assert_eq!(bench.opened().len(), 1);
        // What was worked on before is of no interest to the new registration.
        let mut outputs = Vec::new();
        assert!(!bench.worker.reply(number, body("late"), bench.now, &mut outputs));
    }
}

#[test]
fn t5_a_second_request_at_a_time_is_not_taken() {
    let mut bench = Bench::new(Version::V1);
    bench.request();
    assert_eq!(bench.request(), []);
    assert_eq!(bench.worker.unwanted(), 1);
}

#[test]
fn what_is_malformed_is_counted_and_no_sign_of_life() {
    for version in VERSIONS {
        let mut bench = Bench::new(version);
        bench.now += Duration::from_secs(7);
        let mut outputs = Vec::new();
        bench.worker.receive(vec![Bytes::from_static(b"MDPX01")], bench.now, &mut outputs);
        bench.worker.receive(vec![], bench.now, &mut outputs);
        assert_eq!((outputs.len(), bench.worker.malformed()), (0, 2));
        assert!(matches!(bench.after(500)[..], [WorkerOutput::Reopen { .. }]));
    }
}

#[test]
fn an_idle_worker_that_stops_leaves_at_once_and_a_busy_one_after_its_reply() {
    let mut idle = Bench::new(Version::V2);
    let mut outputs = Vec::new();
    idle.worker.stop(&mut outputs);
    assert_eq!(outputs, [idle.leave(), WorkerOutput::Close]);

    let mut busy = Bench::new(Version::V2);
    let [WorkerOutput::Request { number, .. }] = busy.request()[..] else { panic!() };
    let mut outputs = Vec::new();
    busy.worker.stop(&mut outputs);
    assert_eq!(outputs, []);
    busy.worker.reply(number, body("done"), busy.now, &mut outputs);
    assert_eq!(outputs.len(), 3);
    assert_eq!(outputs[1..], [busy.leave(), WorkerOutput::Close]);
}

#[test]
fn a_request_that_is_given_back_goes_to_another_worker() {
    let mut bench = Bench::new(Version::V2);
    let [WorkerOutput::Request { number, .. }] = bench.request()[..] else { panic!() };
    let mut outputs = Vec::new();
    bench.worker.give_back(number, bench.now, &mut outputs);
    assert!(matches!(&outputs[..], [leave, WorkerOutput::Reopen { .. }] if *leave == bench.leave()));
}

#[test]
fn a_lost_connection_begins_the_registration_anew() {
    let mut bench = Bench::new(Version::V2);
    let mut outputs = Vec::new();
    bench.worker.lost(bench.now, &mut outputs);
    assert!(matches!(outputs[..], [WorkerOutput::Reopen { .. }]));
}
