//! One worker's registration at one broker, without I/O.
//!
//! The broker gives it one request at a time. It beats while the request is worked on, too, for the work is done elsewhere. When
//! the broker is silent or says so, the socket is closed and a new one opened, under a new identity: then nothing that was
//! meant for the old registration can reach the new one.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Address, Frames, Service, ToWorker, Version, decode_at_worker, encode};

/// How a worker keeps in touch with its broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkerSettings {
    /// The version of the protocol.
    pub version: Version,
    /// How often both sides say that they live; the same at the broker.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// After how many such intervals of silence the broker is given up.
    pub liveness: u32,
    /// How long to wait before the first attempt to register anew; it doubles with each.
    #[serde(with = "humantime_serde")]
    pub shortest_wait: Duration,
    /// The longest wait between two attempts to register.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            version: Version::default(),
            heartbeat: Duration::from_millis(2_500),
            liveness: 3,
            shortest_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
        }
    }
}

/// What the one who runs a [`Worker`] must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerOutput {
    /// Send to the broker.
    Send(Frames),
    /// Work on a request, and answer it under its number.
    Request {
        /// What [`Worker::reply`] wants back.
        number: u64,
        /// Who asked, as the broker names it.
        client: Address,
        /// The frames that the client sent.
        body: Frames,
    },
    /// Close the socket, wait until then, open a new one and call [`Worker::opened`].
    Reopen {
        /// Not before this time.
        at: Instant,
    },
    /// Close the socket: the registration has ended.
    Close,
}

/// A registration of a worker at a broker.
#[derive(Debug)]
pub struct Worker {
    settings: WorkerSettings,
    service: Service,
    state: State,
    /// The request under way, and who asked.
    request: Option<(u64, Address)>,
    numbers: u64,
    heard: Instant,
    next_beat: Instant,
    wait: Duration,
    /// Whether the broker has said anything since the socket was opened.
    is_known: bool,
    is_stopping: bool,
    malformed: u64,
    unwanted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no socket: one is to be opened.
    Closed,
    Registered,
    Ended,
}

impl Worker {
    /// Makes a registration that begins with [`Worker::opened`].
    #[must_use]
    pub fn new(service: Service, settings: WorkerSettings, now: Instant) -> Self {
        let wait = settings.shortest_wait;
        Self {
            settings,
            service,
            state: State::Closed,
            request: None,
            numbers: 0,
            heard: now,
            next_beat: now,
            wait,
            is_known: false,
            is_stopping: false,
            malformed: 0,
            unwanted: 0,
        }
    }

    /// A new socket is there: registers.
    pub fn opened(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Closed || self.is_stopping {
            return;
        }
        self.state = State::Registered;
        self.heard = now;
        self.is_known = false;
        self.send(encode::ready(self.settings.version, &self.service), now, outputs);
    }

    /// The socket lost its connection. What was sent may be gone, so the registration begins anew.
    pub fn lost(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state == State::Registered {
            self.reopen(now, outputs);
        }
    }

    /// Takes what the broker sent.
    pub fn receive(&mut self, frames: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Registered {
            return;
        }
        let Ok(message) = decode_at_worker(self.settings.version, frames) else {
            self.malformed += 1;
            return;
        };
        self.heard = now;
        if !self.is_known {
            self.is_known = true;
            self.wait = self.settings.shortest_wait;
        }
        match message {
            ToWorker::Heartbeat => {}
            ToWorker::Disconnect => self.reopen(now, outputs),
            // A broker that gives a second request has forgotten the first, or is none: it gets no answer to that.
            ToWorker::Request { .. } if self.request.is_some() => self.unwanted += 1,
            // It crossed our DISCONNECT: the broker gives it to somebody else.
            ToWorker::Request { .. } if self.is_stopping => {}
            ToWorker::Request { client, body } => {
                self.numbers += 1;
                self.request = Some((self.numbers, client.clone()));
                outputs.push(WorkerOutput::Request { number: self.numbers, client, body });
            }
        }
    }

    /// Sends a partial reply to the request under way, in version 0.2. Returns whether it was sent: not where the request was of an earlier
    /// registration, which another worker has by now.
    pub fn reply_partially(
        &mut self,
        number: u64,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<WorkerOutput>,
    ) -> bool {
        let Some(client) = self.client_of(number) else { return false };
        self.send(encode::partial_answer(&client, body), now, outputs);
        true
    }

    /// Sends the reply that ends the request under way. Returns whether it was sent, as [`Worker::reply_partially`] does.
    pub fn reply(&mut self, number: u64, body: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) -> bool {
        let Some(client) = self.client_of(number) else { return false };
        self.request = None;
        self.send(encode::final_answer(self.settings.version, &client, body), now, outputs);
        if self.is_stopping {
            self.end(outputs);
        }
        true
    }

    /// Leaves the broker without an answer to the request under way, which then goes to another worker, and begins anew
    /// unless it stops.
    pub fn give_back(&mut self, number: u64, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.client_of(number).is_some() {
            outputs.push(WorkerOutput::Send(encode::disconnect(self.settings.version)));
            self.reopen(now, outputs);
        }
    }

    /// Beats, and gives up a broker that is silent.
    pub fn tick(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Registered {
            return;
        }
        if now >= self.silent_at() {
            self.reopen(now, outputs);
        } else if now >= self.next_beat {
            self.send(encode::heartbeat(self.settings.version), now, outputs);
        }
    }

    /// Returns when [`Worker::tick`] has something to do next; nothing while there is no socket.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        (self.state == State::Registered).then(|| self.next_beat.min(self.silent_at()))
    }

    /// Begins to stop: leaves the broker at once where it is idle, else after its reply.
    pub fn stop(&mut self, outputs: &mut Vec<WorkerOutput>) {
        self.is_stopping = true;
        if self.request.is_none() && self.state != State::Ended {
            self.end(outputs);
        }
    }

    /// Returns how many messages of the broker were not understood.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Returns how many requests came while another was under way.
    #[must_use]
    pub fn unwanted(&self) -> u64 {
        self.unwanted
    }

    fn client_of(&self, number: u64) -> Option<Address> {
        match &self.request {
            Some((under_way, client)) if *under_way == number && self.state == State::Registered => {
                Some(client.clone())
            }
            _ => None,
        }
    }

    fn silent_at(&self) -> Instant {
        self.heard + self.settings.heartbeat * self.settings.liveness
    }

    fn send(&mut self, frames: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        // Any command says that we live.
        self.next_beat = now + self.settings.heartbeat;
        outputs.push(WorkerOutput::Send(frames));
    }

    fn reopen(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        // The broker gives the request to another worker; what comes of it here is not sent.
        self.request = None;
        if self.is_stopping {
            self.state = State::Ended;
            return outputs.push(WorkerOutput::Close);
        }
        self.state = State::Closed;
        outputs.push(WorkerOutput::Reopen { at: now + self.wait });
        self.wait = (self.wait * 2).min(self.settings.longest_wait);
    }

    fn end(&mut self, outputs: &mut Vec<WorkerOutput>) {
        if self.state == State::Registered {
            outputs.push(WorkerOutput::Send(encode::disconnect(self.settings.version)));
        }
        self.state = State::Ended;
        outputs.push(WorkerOutput::Close);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

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
}
