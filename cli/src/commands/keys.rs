//! `playhouse keys new`: a pair of CURVE keys, as a file that brokers, clients and workers take.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use playhouse::mdp::transport::Keys;
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
    let text = text(&keys, &allow, server.as_deref());
    match file {
        Some(path) => {
            write(&path, &text)?;
            println!("{}", keys.public());
        }
        None => print!("{text}"),
    }
    Ok(())
}

fn text(keys: &Keys, allow: &[String], server: Option<&str>) -> String {
    // Keys are Z85, which has neither quotes nor backslashes.
    let mut text = format!("public = \"{}\"\nsecret = \"{}\"\n", keys.public(), keys.secret_text());
    match allow {
        [] => {}
        [any] if any == "any" => text.push_str("allow = \"any\"\n"),
        keys => text.push_str(&format!("allow = [\"{}\"]\n", keys.join("\", \""))),
    }
    if let Some(server) = server {
        text.push_str(&format!("server = \"{server}\"\n"));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let message = format!("the keys cannot be written to a new file `{}`", path.display());
        Error::conflict(message).caused_by(error)
    })
}
