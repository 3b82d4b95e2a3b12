//! `playhouse keys new`: a pair of CURVE keys, as a file that brokers, clients and workers take.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use playhouse::mdp::transport::{Allow, Keys, KeysFile};
use playhouse::{Error, Result};

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
    /// client's file names the server that it talks to: `--server KEY`. Both can be written into the file later.
    New {
        /// Write to this file, which only its owner can read, and print the public key alone
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// For a server: the public key of a client that may connect, or `any`
        #[arg(long, value_name = "KEY", conflicts_with = "server")]
        allow: Vec<String>,
        /// For a client: the public key of its server
        #[arg(long, value_name = "KEY")]
        server: Option<String>,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Command::New { file, allow, server } = arguments.command;
    let keys = Keys::generate();
    let made = match (allow.as_slice(), server) {
        ([], None) => None,
        (_, Some(server)) => Some(KeysFile::Client { keys: keys.clone(), server: server.parse()? }),
        ([any], None) if any == "any" => Some(KeysFile::Server { keys: keys.clone(), allow: Allow::Any }),
        (clients, None) => {
            let clients = clients.iter().map(|key| key.parse()).collect::<Result<_>>()?;
            Some(KeysFile::Server { keys: keys.clone(), allow: Allow::Only(clients) })
        }
    };
    match (file, made) {
        (Some(path), Some(made)) => {
            made.save(path)?;
            println!("{}", keys.public());
        }
        (Some(path), None) => {
            let message = "expected `--allow` for a server's keys or `--server` for a client's, to write";
            return Err(Error::malformed(format!("{message} `{}`", path.display())));
        }
        (None, Some(made)) => print!("{}", made.to_text()),
        (None, None) => println!("public = \"{}\"\nsecret = \"{}\"", keys.public(), keys.secret_text()),
    }
    Ok(())
}
