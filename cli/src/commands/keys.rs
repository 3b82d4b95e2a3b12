//! `playhouse keys new`: a pair of CURVE keys, as a file that brokers, clients and workers take.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use playhouse::mdp::transport::{Allow, Keys, KeysFile, PublicKey};
use playhouse::{Error, Result};

use crate::output::print;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a new pair of keys and prints it as TOML
    ///
    /// A server's file says which clients may connect: `--allow KEY` for each client's public key, or `--allow any`. A
    /// client's file names the server that it talks to: `--server KEY`. Both can be written into the file later. Keys have
    /// characters that a shell takes for its own: put them in single quotes.
    #[command(after_long_help = EXAMPLES)]
    New(New),
}

#[derive(Debug, Args)]
struct New {
    /// Write to this file, which only its owner can read, and print the public key alone
    #[arg(value_name = "FILE", requires = "of")]
    file: Option<PathBuf>,
    /// For a server: the public key of a client that may connect, or `any`; may be given several times
    #[arg(long, value_name = "KEY", group = "of", conflicts_with = "server", allow_hyphen_values = true, value_parser = allowed)]
    allow: Vec<Allow>,
    /// For a client: the public key of its server
    #[arg(long, value_name = "KEY", group = "of", allow_hyphen_values = true)]
    server: Option<PublicKey>,
}

/// What `--help` shows at its end.
const EXAMPLES: &str = "\
Example:
  playhouse keys new server.toml --allow any          # prints the server's public key
  playhouse keys new client.toml --server 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'
  playhouse broker --bind 'tcp://*:5555' --curve-keys server.toml
  playhouse call shout hello --broker tcp://broker.example.org:5555 --curve-keys client.toml";

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Command::New(New { file, allow, server }) = arguments.command;
    let keys = Keys::generate();
    let made = match (allow.is_empty(), server) {
        (true, None) => {
            return print(format!("public = \"{}\"\nsecret = \"{}\"\n", keys.public(), keys.secret_text()));
        }
        (_, Some(server)) => KeysFile::Client { keys: keys.clone(), server },
        (false, None) => KeysFile::Server { keys: keys.clone(), allow: all(allow) },
    };
    match file {
        Some(path) => {
            made.save(path)?;
            print(format!("{}\n", keys.public()))
        }
        None => print(made.to_text()),
    }
}

fn allowed(text: &str) -> Result<Allow> {
    if text == "any" {
        return Ok(Allow::Any);
    }
    match text.parse() {
        Ok(key) => Ok(Allow::Only(vec![key])),
        Err(error) => Err(Error::malformed("neither `any` nor a key").caused_by(error)),
    }
}

/// Allows whom one of these allows.
fn all(each: Vec<Allow>) -> Allow {
    let mut keys = Vec::new();
    for allow in each {
        match allow {
            Allow::Only(more) => keys.extend(more),
            Allow::Any => return Allow::Any,
        }
    }
    Allow::Only(keys)
}
