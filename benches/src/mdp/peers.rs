//! Clients and workers in processes of their own.

use std::io;
use std::process::Command;

use crate::mdp::{Broker, Load, Measured, SERVICE, build};
use crate::offspring::Offspring;

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
    _offspring: Offspring,
}

impl Workers {
    /// Starts a process with so many workers. `keys` are those of [`super::client_keys`], for libzmq alone.
    ///
    /// # Errors
    /// Where it cannot be built or does not start.
    pub fn start(library: Library, broker: &Broker, count: usize, keys: Option<&str>) -> io::Result<Self> {
        let mut command = library.command("worker")?;
        command.args([&broker.endpoint, SERVICE, &count.to_string()]).envs(keys.map(|keys| ("CURVE_KEYS", keys)));
        Ok(Self { _offspring: Offspring::start(&mut command)? })
    }
}

/// Has a client put load on a broker, and says on standard error what that cost.
///
/// # Panics
/// Where not every request is answered rightly and in time: what is measured then would mean nothing.
#[must_use]
pub fn measure(library: Library, broker: &Broker, load: &Load, keys: Option<&str>) -> Measured {
    try_to_measure(library, broker, load, keys).expect("every request is answered")
}

fn try_to_measure(library: Library, broker: &Broker, load: &Load, keys: Option<&str>) -> io::Result<Measured> {
    let service = if load.durable { "titanic.request" } else { SERVICE };
    let mut command = library.command("client")?;
    command.args([&broker.endpoint, service]).args(load.words()).envs(keys.map(|keys| ("CURVE_KEYS", keys)));
    let before = broker.cpu_time()?;
    let measured = Measured::read(&Offspring::start(&mut command)?.line()?)?;
    let cost = (broker.cpu_time()? - before).as_secs_f64() * 1e6 / load.requests as f64;
    let Measured { rate, p50, p99 } = measured;
    eprintln!(
        "  {rate:>9.0} requests/s, p50 {p50:>6.0} us, p99 {p99:>6.0} us, {cost:>6.1} us of the broker's CPU a request"
    );
    Ok(measured)
}
