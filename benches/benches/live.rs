//! What an event stream costs: 5,000 clients of one inbox, beside hyper with a broadcast channel. Events delivered a second,
//! larger is better; and how long it takes until the last client has an event, and what memory a client takes.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use playhouse_benches::Race;
use playhouse_benches::http::{Audience, Served, Serving, as_child, broadcast, events};

const SERVERS: &[(&str, Serving)] = &[("events", events::serve), ("hyper", broadcast::serve)];

const CLIENTS: usize = 5_000;

/// How many events one round sends to each client.
const EVENTS: u64 = 100;

/// How many events are sent alone, for the time until the last client has one.
const ALONE: usize = 50;

const ROUNDS: usize = 5;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = as_child(SERVERS) {
        return Ok(code);
    }
    let ours = RefCell::new(gathered("events")?);
    let theirs = RefCell::new(gathered("hyper")?);
    Race::new(format!("sse-{CLIENTS}"), "events delivered/s")
        .ours("", || rate(&mut ours.borrow_mut().1))
        .peer("hyper", || rate(&mut theirs.borrow_mut().1))
        .run(Duration::MAX, ROUNDS);
    for (name, audience) in [("playhouse", &ours), ("hyper", &theirs)] {
        let audience = &mut audience.borrow_mut().1;
        let mut times = (0..ALONE).map(|_| audience.publish(1)).collect::<Result<Vec<_>, _>>()?;
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        eprintln!("  {name:<12} the last client has an event after {:.1} ms (p50), {:.1} ms (p99)", at(50), at(99));
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a server, and lets all clients in.
fn gathered(name: &str) -> Result<(Served, Audience), Box<dyn Error>> {
    let server = Served::start(name)?;
    let before = server.resident()?;
    let audience = Audience::gather(server.address, CLIENTS)?;
    let bytes = (server.resident()? - before) / CLIENTS as u64;
    eprintln!("  {name:<12} {:.1} KiB of memory a client", bytes as f64 / 1024.0);
    Ok((server, audience))
}

fn rate(audience: &mut Audience) -> f64 {
    let time = audience.publish(EVENTS).expect("all events arrive");
    (EVENTS * CLIENTS as u64) as f64 / time.as_secs_f64()
}
