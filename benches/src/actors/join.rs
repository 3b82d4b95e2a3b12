//! A million events that wait for their other halves: how many bytes each takes, and how fast they are joined; beside a task
//! with a `HashMap`, over flume channels, that knows neither time-outs nor receipts nor accounts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::env;
use std::io;
use std::time::{Duration, Instant};

use playhouse::actors::{Join, JoinSettings};
use playhouse::{Director, Emitter, Event, EventId, Monitor, Result, Running, sink, source};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::finish::Finish;
use crate::offspring::{Offspring, say};
use crate::process::resident;
use crate::{Flavor, Race, wanted};

/// How many events wait.
pub const EVENTS: usize = 1_000_000;

const PAYLOAD: &str = "half";
const MEMORY: &str = "join-memory";

/// Answers as a child that a measurement of memory started: true where this process is one.
///
/// # Errors
/// Where the kernel writes down no accounts.
///
/// # Panics
/// Where the flow breaks.
pub fn as_child() -> io::Result<bool> {
    let words: Vec<_> = env::args().skip(1).collect();
    let bytes = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [MEMORY, "ours"] => our_bytes()?,
        [MEMORY, "map"] => map_bytes()?,
        _ => return Ok(false),
    };
    say(&bytes.to_string())?;
    Ok(true)
}

/// Tells what an open event costs, and races ours with the map.
///
/// # Panics
/// Where a child that measures fails, or the flow breaks.
pub fn race() {
    if wanted("join-open-event") {
        println!("FIGURE join-open-event {:.1} bytes 400", bytes_each("ours"));
        eprintln!("a plain HashMap of the same takes {:.1} bytes each", bytes_each("map"));
    }
    if wanted("join-thousand-pairs") {
        let race = Race::new("join-thousand-pairs", "thousand pairs/s");
        race.ours("", our_rate).peer("hashmap", map_rate).run(Duration::from_secs(30), 7);
    }
}

/// Returns how many bytes an event takes that waits, in a join of `kind`: `ours`, or `map`.
fn bytes_each(kind: &str) -> f64 {
    let mut child = Offspring::again(&[MEMORY, kind]).expect("this program starts again");
    let line = child.line().expect("the child says a figure");
    line.parse().expect("the child says a figure")
}

/// Returns how many pairs our join joins in a second, each second half after all first ones, in thousands.
fn our_rate() -> f64 {
    Flavor::MultiThread.runtime().block_on(async {
        let (finish, finished) = Finish::after(EVENTS);
        let (running, [left, right]) = started(finish).await;
        let began = Instant::now();
        left.send_all(halves()).await.expect("the flow runs");
        right.send_all(halves()).await.expect("the flow runs");
        finished.await.expect("the flow stands");
        let time = began.elapsed();
        running.stop(Duration::from_secs(10)).await.expect("the flow stops well");
        EVENTS as f64 / time.as_secs_f64() / 1e3
    })
}

/// Does the same with a task that has a map.
fn map_rate() -> f64 {
    Flavor::MultiThread.runtime().block_on(async {
        let (finish, finished) = Finish::after(EVENTS);
        let (left, right) = by_hand(finish);
        let began = Instant::now();
        for (side, sender) in [(0, &left), (1, &right)] {
            for event in halves() {
                sender.send_async((side, event)).await.expect("the join stands");
            }
        }
        finished.await.expect("the join stands");
        EVENTS as f64 / began.elapsed().as_secs_f64() / 1e3
    })
}

fn halves() -> impl Iterator<Item = Event> + Send {
    (0..EVENTS as u128).map(|number| Event::with_id(EventId::from_u128(number), PAYLOAD))
}

fn our_bytes() -> io::Result<f64> {
    Flavor::MultiThread.runtime().block_on(async {
        let (running, [left, _]) = started(Finish::after(EVENTS).0).await;
        let monitor: Monitor = running.monitor();
        let held = async |count: u64| {
            while monitor.actor("join").is_none_or(|join| join.held < count) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // What the queues and the allocator need once is no part of it.
        const WARM: usize = 10_000;
        let mut halves = halves();
        left.send_all(halves.by_ref().take(WARM)).await.map_err(io::Error::other)?;
        held(WARM as u64).await;
        let before = resident(std::process::id())?;
        left.send_all(halves).await.map_err(io::Error::other)?;
        held(EVENTS as u64).await;
        let after = resident(std::process::id())?;
        Ok((after - before) as f64 / (EVENTS - WARM) as f64)
    })
}

fn map_bytes() -> io::Result<f64> {
    let before = resident(std::process::id())?;
    let mut waiting: HashMap<EventId, (usize, Event)> = HashMap::new();
    waiting.extend(halves().map(|event| (event.id(), (0, event))));
    let after = resident(std::process::id())?;
    drop(waiting);
    Ok((after - before) as f64 / EVENTS as f64)
}

/// Starts a flow of two sources, a join and a sink.
async fn started(finish: Finish) -> (Running, [Emitter; 2]) {
    let mut director = Director::new("join");
    let settings = JoinSettings { most: EVENTS, time_out: Duration::from_secs(3600), ..JoinSettings::default() };
    let join = director.register("join", Join::new(["left", "right"], settings).expect("the settings are right"));
    let mut taps = Vec::new();
    for side in ["left", "right"] {
        let (sender, receiver) = mpsc::channel(1);
        let tap = director.register(
            side,
            source(move |emitter: Emitter| {
                let sender = sender.clone();
                async move { sender.send(emitter).await.map_err(|_| playhouse::Error::gone("nobody measures")) }
            }),
        );
        director.connect(tap, join.port(side));
        taps.push(receiver);
    }
    let end = sink(move |event: &Event| -> Result<()> {
        finish.take(event.payload().to_bytes());
        Ok(())
    });
    let end = director.register("end", end);
    director.connect(join, end);
    let running = director.build().expect("the flow is right").start().await.expect("the flow starts");
    let (left, right) = (taps[0].recv().await, taps[1].recv().await);
    (running, [left.expect("the source runs"), right.expect("the source runs")])
}

type Half = (usize, Event);

/// Starts a task that joins by a map.
fn by_hand(finish: Finish) -> (flume::Sender<Half>, flume::Sender<Half>) {
    const CAPACITY: usize = 1024;
    let (sender, halves) = flume::bounded::<Half>(CAPACITY);
    let (joined, ends) = flume::bounded::<Event>(CAPACITY);
    tokio::spawn(async move {
        let mut waiting: HashMap<EventId, Half> = HashMap::new();
        while let Ok((side, event)) = halves.recv_async().await {
            match waiting.entry(event.id()) {
                Entry::Vacant(free) => {
                    free.insert((side, event));
                }
                Entry::Occupied(there) => {
                    let (_, other) = there.remove();
                    let parts = if side == 0 { [&event, &other] } else { [&other, &event] };
                    let parts = parts.map(|part| Value::String(part.payload().to_string()));
                    if joined.send_async(event.derive(Value::Array(parts.to_vec()))).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    tokio::spawn(async move {
        while let Ok(event) = ends.recv_async().await {
            finish.take(event.payload().to_bytes());
        }
    });
    (sender.clone(), sender)
}
