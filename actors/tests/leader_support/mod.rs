//! Members of a service in processes of their own: each is this test's binary, with its settings in the environment.

pub(crate) mod namespace;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use playhouse_actors::{Generator, Leader, LeaderSettings, Members, Schedule};
use playhouse_engine::{Director, Event, sink};
use serde_json::{Value, json};

pub(crate) const INTERVAL: Duration = Duration::from_millis(60);
pub(crate) const LEASE: Duration = Duration::from_millis(360);

/// Long enough for whatever happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a member ticks.
const TICK: Duration = Duration::from_millis(10);

const MEMBER: &str = "PLAYHOUSE_TEST_MEMBER";

/// One that a member wrote because it led.
#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub(crate) member: usize,
    pub(crate) time: String,
    pub(crate) term: i64,
}

/// Returns the settings of members on this host that listen at these ports.
pub(crate) fn settings(ports: &[u16]) -> LeaderSettings {
    let peers: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}").parse().unwrap()).collect();
    LeaderSettings {
        scope: "test".into(),
        interval: INTERVAL,
        lease: LEASE,
        burn_in: LEASE,
        listen: peers[0],
        peers,
        ..LeaderSettings::default()
    }
}

/// Returns ports that nobody has at this moment.
pub(crate) fn ports(count: usize) -> Vec<u16> {
    let sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
}

/// Starts a program of Python's standard library alone.
pub(crate) fn python(script: &str, settings: &Value) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(script);
    Command::new("python3").arg(script).arg(settings.to_string()).stdin(Stdio::piped()).spawn().unwrap()
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    ticks: Receiver<Tick>,
    sender: Sender<Tick>,
}

pub(crate) struct Member {
    number: usize,
    command: Command,
    process: Child,
}

impl Cluster {
    /// Starts members on this host. `change` may change the settings of each, and says how many members there are if that is not
    /// just all.
    pub(crate) fn start(count: usize, change: impl Fn(usize, &mut LeaderSettings) -> Option<Members>) -> Self {
        Self::start_within(count, |_, _| Command::new(std::env::current_exe().unwrap()), change)
    }

    pub(crate) fn start_within(
        count: usize,
        within: impl Fn(usize, &Command) -> Command,
        change: impl Fn(usize, &mut LeaderSettings) -> Option<Members>,
    ) -> Self {
        let ports = ports(count);
        let (sender, ticks) = channel();
        let started = (0..count).map(|number| {
            let mut settings = settings(&ports);
            settings.listen = settings.peers[number];
            let all = Members::Known(u32::try_from(count).unwrap());
            let members = change(number, &mut settings).unwrap_or(all);
            let mut command = within(number, &Command::new(std::env::current_exe().unwrap()));
            command.args(["--exact", "a_member", "--nocapture"]);
            command.env(MEMBER, json!({"settings": settings, "members": members}).to_string());
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            Member::start(number, command, &sender)
        });
        Self { members: started.collect(), ticks, sender }
    }

    pub(crate) fn restart(&mut self, number: usize) {
        let member = &mut self.members[number];
        member.kill();
        member.process = spawn(number, &mut member.command, &self.sender);
    }

    /// Waits until one member but `except` ticks and goes on to tick, and returns its number.
    #[track_caller]
    pub(crate) fn leader(&self, ticks: &mut Vec<Tick>, except: Option<usize>) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let (mut last, mut in_a_row) = (None, 0);
        while in_a_row < 3 {
            let left = deadline.saturating_duration_since(Instant::now());
            let tick = self.ticks.recv_timeout(left).unwrap_or_else(|_| panic!("nobody leads but {except:?}"));
            in_a_row = if last == Some(tick.member) { in_a_row + 1 } else { 1 };
            last = Some(tick.member).filter(|member| Some(*member) != except);
            in_a_row *= u32::from(last.is_some());
            ticks.push(tick);
        }
        last.unwrap()
    }

    /// Takes what is ticked for a time.
    pub(crate) fn collect(&self, ticks: &mut Vec<Tick>, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(tick) = self.ticks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            ticks.push(tick);
        }
    }
}

impl Member {
    fn start(number: usize, mut command: Command, sender: &Sender<Tick>) -> Self {
        let process = spawn(number, &mut command, sender);
        Self { number, command, process }
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success(), "member {}", self.number);
    }

    /// Makes its flow stop.
    pub(crate) fn stop(&mut self) {
        self.process.stdin.take();
    }

    pub(crate) fn ended_well(&mut self) -> bool {
        self.process.wait().unwrap().success()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(number: usize, command: &mut Command, sender: &Sender<Tick>) -> Child {
    let mut process = command.spawn().unwrap();
    let (lines, sender) = (BufReader::new(process.stdout.take().unwrap()).lines(), sender.clone());
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let Some((_, tick)) = line.split_once("TICK ") else { continue };
            let (time, term) = tick.split_once(' ').unwrap();
            let tick = Tick { member: number, time: time.into(), term: term.parse().unwrap() };
            if sender.send(tick).is_err() {
                return;
            }
        }
    });
    process
}

/// In a process that was started as a member: ticks as long as it leads, until its standard input ends.
pub(crate) fn be_a_member() {
    let Ok(given) = std::env::var(MEMBER) else { return };
    let mut given: Value = serde_json::from_str(&given).unwrap();
    let settings: LeaderSettings = serde_json::from_value(given["settings"].take()).unwrap();
    let members: Members = serde_json::from_value(given["members"].take()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut director = Director::new("member");
        let every = Schedule { interval: TICK, ..Schedule::default() };
        // The same tick in all processes: so many since 1970.
        let ticks = Generator::making(every, |_| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            Event::new(()).with_attribute("tick.time", (since.as_millis() / TICK.as_millis()).to_string())
        });
        let ticks = director.register("ticks", ticks);
        let leader = director.register("leader", Leader::new("orders", members, settings).unwrap());
        let last = AtomicU64::new(0);
        let end = sink(move |event: &Event| {
            let time: u64 = event.attribute("tick.time").unwrap().as_str().unwrap().parse().unwrap();
            // A generator may be early after it was late.
            if last.swap(time, Ordering::Relaxed) != time {
                println!("TICK {time} {}", event.attribute("leader.term").unwrap());
            }
            Ok(())
        });
        let end = director.register("end", end);
        director.connect(ticks, leader);
        director.connect(leader, end);
        let running = director.build().unwrap().start().await.unwrap();
        let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        input.await.unwrap().unwrap();
        assert!(running.stop(PATIENCE).await.unwrap().balances());
    });
}

/// Returns how many different ticks there are.
pub(crate) fn different(ticks: &[Tick]) -> usize {
    ticks.iter().map(|tick| &tick.time).collect::<HashSet<_>>().len()
}
