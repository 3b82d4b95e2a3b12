//! A broker in a process of its own.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::mdp::build;
use crate::offspring::Offspring;
use crate::process;

/// Whose broker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// `playhouse broker`.
    Ours,
    /// The one in C on libzmq.
    Peer,
}

/// A broker that ends with this value.
#[derive(Debug)]
pub struct Broker {
    offspring: Offspring,
    /// Where it listens.
    pub endpoint: String,
}

impl Broker {
    /// Starts a broker on a free port of this host, and waits until it listens. `words` go to ours alone.
    ///
    /// # Errors
    /// Where it cannot be built or does not start.
    pub fn start(maker: Maker, words: &[OsString]) -> io::Result<Self> {
        let mut command = match maker {
            Maker::Ours => {
                let mut command = Command::new(build::ours()?);
                command.args(["broker", "--bind", "tcp://127.0.0.1:0"]).args(words);
                command
            }
            Maker::Peer => {
                let mut command = Command::new(build::peer("broker")?);
                command.arg("tcp://127.0.0.1:*");
                command
            }
        };
        let mut offspring = Offspring::start(&mut command)?;
        let line = offspring.line()?;
        let endpoint = line.strip_prefix("listening on ").map(str::to_owned);
        let endpoint = endpoint.ok_or_else(|| io::Error::other(format!("the broker does not listen: `{line}`")))?;
        Ok(Self { offspring, endpoint })
    }

    /// Returns how much processor time it has used.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        process::cpu_time(self.offspring.id())
    }
}

/// Makes keys for a broker that lets anybody in who speaks CURVE, in the file `server`, and returns what a peer must know:
/// the server's public key, its own public and its own secret key.
///
/// # Errors
/// Where `playhouse keys new` fails.
pub fn client_keys(server: &Path) -> io::Result<String> {
    let keys_new = |words: &[&str], file: Option<&Path>| {
        let output = Command::new(build::ours()?).args(["keys", "new"]).args(file).args(words).output()?;
        if output.status.success() {
            return String::from_utf8(output.stdout).map_err(io::Error::other);
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let public = keys_new(&["--allow", "any"], Some(server))?;
    let client = keys_new(&[], None)?;
    let value = |name: &str| {
        let line = client.lines().find_map(|line| line.strip_prefix(name));
        let value = line.map(|value| value.trim_matches([' ', '=', '"']).to_owned());
        value.ok_or_else(|| io::Error::other(format!("expected `{name}` among new keys")))
    };
    Ok(format!("{},{},{}", public.trim(), value("public")?, value("secret")?))
}
