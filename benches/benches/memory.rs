//! What memory and a start cost: lines `FIGURE <case> <value> <unit> <limit>`, where the value should be below the limit.

use std::error::Error;
use std::process::ExitCode;

use playhouse_benches::http::{Served, Serving, as_child, echo, order};
use playhouse_benches::{many, wanted};

const SERVERS: &[(&str, Serving)] = &[("echo", echo::serve), ("echo-many", echo::serve_many)];

const KIBIBYTE: f64 = 1024.0;
const MEBIBYTE: f64 = 1024.0 * KIBIBYTE;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = as_child(SERVERS) {
        return Ok(code);
    }
    if wanted("resident-growth") {
        resident_growth()?;
    }
    if wanted("idle-connection") {
        idle_connection()?;
    }
    for (case, fusion) in [("start-10000", true), ("start-10000-unfused", false)] {
        if wanted(case) {
            let mut times: Vec<_> = (0..5).map(|_| many::start(10_000, fusion)).collect();
            times.sort();
            figure(case, times[times.len() / 2].as_secs_f64(), "s", 1);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How much more memory a server holds after a million requests than after a thousand.
fn resident_growth() -> Result<(), Box<dyn Error>> {
    let server = Served::start("echo")?;
    server.ask(1_000, &order())?;
    let early = server.resident()? as f64;
    eprintln!("after     1,000 requests: {:.1} MiB", early / MEBIBYTE);
    server.ask(999_000, &order())?;
    let late = server.resident()? as f64;
    eprintln!("after 1,000,000 requests: {:.1} MiB", late / MEBIBYTE);
    figure("resident-growth", (late - early) / MEBIBYTE, "MiB", 4);
    Ok(())
}

/// What each of ten thousand connections costs that are kept alive and idle.
fn idle_connection() -> Result<(), Box<dyn Error>> {
    const CONNECTIONS: usize = 10_000;
    let server = Served::start("echo-many")?;
    server.ask(10_000, &order())?;
    let none = server.resident()? as f64;
    let held = server.hold(CONNECTIONS, &order())?;
    let many = server.resident()? as f64;
    drop(held);
    eprintln!("without connections {:.1} MiB, with {CONNECTIONS} {:.1} MiB", none / MEBIBYTE, many / MEBIBYTE);
    figure("idle-connection", (many - none) / KIBIBYTE / CONNECTIONS as f64, "KiB", 20);
    Ok(())
}

fn figure(case: &str, value: f64, unit: &str, limit: u32) {
    println!("FIGURE {case} {value:.3} {unit} {limit}");
}
