//! Clients and workers in processes of their own.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::mdp::{Broker, Load, Measured, SERVICE, build};
use crate::offspring::Offspring;
use crate::process;

/// What library clients and workers are built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// libzmq: the programs in `benches/c`.
    Libzmq,
    /// Ours.
    Ours,
}

impl Library {
    /// Returns the word for it in the name of a case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Libzmq => "libzmq",
            Self::Ours => "ours",
        }
    }

    fn command(self, program: &str) -> io::Result<Command> {
        match self {
            Self::Libzmq => Ok(Command::new(build::peer(program)?)),
            Self::Ours => {
                let mut command = Command::new(build::our_peer()?);
                command.arg(program);
                Ok(command)
            }
        }
    }
}

/// Workers that reply with what they were asked. They end with this value.
#[derive(Debug)]
pub struct Workers {
    offspring: Offspring,
}

impl Workers {
    /// Starts a process with so many workers. `keys` are those of [`super::client_keys`].
    ///
    /// # Errors
    /// Where it cannot be built or does not start.
    pub fn start(library: Library, broker: &Broker, count: usize, keys: Option<&str>) -> io::Result<Self> {
        let mut command = library.command("worker")?;
        command.args([&broker.endpoint, SERVICE, &count.to_string()]).envs(keys.map(|keys| ("CURVE_KEYS", keys)));
        Ok(Self { offspring: Offspring::start(&mut command)? })
    }
}

/// Has a client put load on a broker and its workers, and says on standard error what that cost each of them.
///
/// # Panics
/// Where not every request is answered rightly and in time: what is measured then would mean nothing.
#[must_use]
pub fn measure(
    library: Library,
    broker: &Broker,
    workers: Option<&Workers>,
    load: &Load,
    keys: Option<&str>,
) -> Measured {
    try_to_measure(library, broker, workers, load, keys).expect("every request is answered")
}

fn try_to_measure(
    library: Library,
    broker: &Broker,
    workers: Option<&Workers>,
    load: &Load,
    keys: Option<&str>,
) -> io::Result<Measured> {
    let service = if load.durable { "titanic.request" } else { SERVICE };
    let mut command = library.command("client")?;
    command.args([&broker.endpoint, service]).args(load.words()).envs(keys.map(|keys| ("CURVE_KEYS", keys)));
    let used = || -> io::Result<[Duration; 2]> {
        let by_workers = workers.map(|workers| process::cpu_time(workers.offspring.id())).transpose()?;
        Ok([broker.cpu_time()?, by_workers.unwrap_or_default()])
    };
    let before = used()?;
    let mut client = Offspring::start(&mut command)?;
    let measured = Measured::read(&client.line()?)?;
    // It has ended, or is about to, and its accounts are kept until it is waited for.
    let by_client = process::cpu_time(client.id())?;
    let after = used()?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / load.requests as f64;
    let [broker, workers] = [0, 1].map(|index| each(after[index] - before[index]));
    let Measured { rate, p50, p99 } = measured;
    eprintln!(
        "  {rate:>7.0} requests/s, p50 {p50:>6.0} us, p99 {p99:>6.0} us, us of CPU a request: broker {broker:>5.1}, client {:>5.1}, workers {workers:>5.1}",
        each(by_client)
    );
    Ok(measured)
}
