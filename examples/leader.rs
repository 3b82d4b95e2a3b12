//! Every second exactly once in a cluster: three processes tick by the same calendar, and one lets its ticks through. Run it in
//! three terminals, end the one that prints in any way you like, and another goes on after half a second. Ctrl-C ends it.
//!
//! Run: `cargo run --example leader`
//! Output:
//!     2026-03-29T01:00:00Z in term 1774746000412
//!     2026-03-29T01:00:01Z in term 1774746000412

use std::time::Duration;

use playhouse::actors::{Generator, Leader, LeaderSettings, Members};
use playhouse::{Director, Event, Result, shutdown_signal, sink};

fn print(event: &Event) -> Result<()> {
    if let (Some(time), Some(term)) = (event.attribute("tick.time"), event.attribute("leader.term")) {
        println!("{time} in term {term}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(6999);
    // All processes of this host. On a network: the addresses of all members.
    let host = ([127, 255, 255, 255], port).into();
    let settings = LeaderSettings {
        interval: Duration::from_millis(100),
        lease: Duration::from_millis(500),
        burn_in: Duration::from_millis(500),
        listen: host,
        peers: vec![host],
        ..LeaderSettings::default()
    };

    let mut director = Director::new("every second");
    let ticks = director.register("ticks", Generator::cron("* * * * * *", "Europe/Berlin", "tick")?);
    let leader = director.register("leader", Leader::new("every-second", Members::Known(3), settings)?);
    let print = director.register("print", sink(print));
    director.connect(ticks, leader);
    // Were they sent to one place, a `Fence` there would refuse what a former leader sends too late.
    director.connect(leader, print);
    director.build()?.run_until(shutdown_signal(), Duration::from_secs(5)).await?;
    Ok(())
}
