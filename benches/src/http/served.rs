//! A server in a process of its own: this program, started again with a word for what to serve.

use std::env;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use crate::http::{Load, Measured, client, credentials};
use crate::offspring::{Offspring, end_with_parent, say};
use crate::process;

/// A word on the command line that makes this program a child.
const SERVE: &str = "serve";
const ASK: &str = "ask";
const HOLD: &str = "hold";

/// A server that runs on a listener until its process is ended.
pub type Serving = fn(TcpListener) -> io::Result<()>;

/// A server in a process of its own, which ends with this value.
#[derive(Debug)]
pub struct Served {
    offspring: Offspring,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Served {
    /// Starts the server `name`, and waits until it listens.
    ///
    /// # Errors
    /// Where the process does not start, or does not say where it listens.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut offspring = Offspring::again(&[SERVE, name])?;
        let line = offspring.line()?;
        let address = line.parse().map_err(|_| io::Error::other(format!("`{name}` did not start: `{line}`")))?;
        Ok(Self { offspring, address })
    }

    /// Returns how many bytes of memory the server holds.
    ///
    /// # Errors
    /// Where the server has ended.
    pub fn resident(&self) -> io::Result<u64> {
        process::resident(self.offspring.id())
    }

    /// Returns how many bytes of memory the server has held at most.
    ///
    /// # Errors
    /// Where the server has ended.
    pub fn peak(&self) -> io::Result<u64> {
        process::peak(self.offspring.id())
    }

    /// Puts load on the server, and says on standard error what came of it and what it cost.
    ///
    /// # Panics
    /// Where the server has ended, or does not answer every request.
    #[must_use]
    pub fn under(&self, load: &Load, name: &str) -> Measured {
        let cpu = || process::cpu_time(self.offspring.id()).expect("the server runs");
        let before = cpu();
        let measured = load.on(self.address);
        let cost = (cpu() - before).as_secs_f64() * 1e6 / measured.requests;
        let Measured { rate, p99, .. } = measured;
        let connections = load.connections;
        eprintln!(
            "  {name:<12} {connections:>3} connections: {rate:>9.0} requests/s, p99 {p99:>6.2} ms, {cost:>6.1} us of CPU a request"
        );
        measured
    }

    /// Has another process send `count` requests on 64 connections, and waits until all are answered.
    ///
    /// # Errors
    /// Where one is not answered with 200.
    pub fn ask(&self, count: usize, body: &str) -> io::Result<()> {
        let words = [ASK, &self.address.to_string(), &count.to_string(), body];
        let mut asking = Offspring::again(&words)?;
        asking.line().map(drop)
    }

    /// Has another process open `count` connections, send a request on each, and keep them. They are closed when what is
    /// returned is dropped.
    ///
    /// # Errors
    /// Where one is not answered with 200.
    pub fn hold(&self, count: usize, body: &str) -> io::Result<impl Drop + use<>> {
        let words = [HOLD, &self.address.to_string(), &count.to_string(), body];
        let mut holding = Offspring::again(&words)?;
        holding.line()?;
        Ok(holding)
    }
}

/// Does what a child is for where this process is one, by the first word on the command line; returns none where it is not.
#[must_use]
pub fn as_child(servers: &[(&str, Serving)]) -> Option<ExitCode> {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [SERVE, name] => serve(servers, name),
        [kind @ (ASK | HOLD), address, count, body] => ask(kind, address, count, body),
        _ => return None,
    };
    match outcome {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{}: {error}", words[0]);
            Some(ExitCode::FAILURE)
        }
    }
}

fn serve(servers: &[(&str, Serving)], name: &str) -> io::Result<()> {
    let server = servers.iter().find(|(known, _)| *known == name);
    let (_, serving) = server.ok_or_else(|| io::Error::other(format!("there is no server `{name}`")))?;
    process::open_many_files()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    end_with_parent();
    say(&listener.local_addr()?.to_string())?;
    serving(listener)
}

fn ask(kind: &str, address: &str, count: &str, body: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let count: usize = count.parse().map_err(io::Error::other)?;
    process::open_many_files()?;
    let request = client::request(body, &credentials());
    if kind == ASK {
        client::ask(address, &request, 64, count)?;
        return say("answered");
    }
    let held = client::hold(address, &request, count)?;
    say("held")?;
    // Until the parent ends this process.
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(held);
    Ok(())
}
