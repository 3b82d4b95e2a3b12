//! What HTTP costs: requests a second, by wrk on one thread, a body of 1 KB. Larger is better.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use playhouse_benches::http::{
    Load, Served, Serving, as_child, client, credentials, echo, handler, hyper, order, orders,
};
use playhouse_benches::{Race, wanted};

const SERVERS: &[(&str, Serving)] =
    &[("echo", echo::serve), ("hyper", hyper::serve), ("orders", orders::serve), ("handler", handler::serve)];

const CONNECTIONS: [usize; 3] = [1, 64, 256];

/// For how long one round puts load on one server.
const ROUND: Duration = Duration::from_secs(2);

const ROUNDS: usize = 5;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = as_child(SERVERS) {
        return Ok(code);
    }
    race("echo", "hyper")?;
    race("orders", "handler")?;
    Ok(ExitCode::SUCCESS)
}

/// Races our flow `ours` against the server `peer`.
fn race(ours: &'static str, peer: &'static str) -> Result<(), Box<dyn Error>> {
    let cases: Vec<_> = CONNECTIONS.map(|connections| (connections, format!("{ours}-{connections}"))).into();
    if !cases.iter().any(|(_, case)| wanted(case)) {
        return Ok(());
    }
    let (our_server, their_server) = (Served::start(ours)?, Served::start(peer)?);
    let request = client::request(&order(), &credentials());
    let (our_answer, their_answer) =
        (client::answer(our_server.address, &request)?, client::answer(their_server.address, &request)?);
    if our_answer != their_answer {
        return Err(format!("`{ours}` answers `{our_answer}`, and `{peer}` `{their_answer}`").into());
    }
    for (connections, case) in cases {
        if !wanted(&case) {
            continue;
        }
        let load = Load { connections, time: ROUND, body: order(), authorization: credentials() };
        Race::new(case, "requests/s")
            .ours("", || our_server.under(&load, "playhouse").rate)
            .peer(peer, || their_server.under(&load, peer).rate)
            .run(Duration::MAX, ROUNDS);
    }
    Ok(())
}
