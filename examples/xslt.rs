//! Transforms a document as xsltproc does. The result goes to standard output, messages and errors to standard error.
//! Files beneath the folders of the stylesheet and the input may be read; nothing is fetched, and no file is written.
//!
//! Run: `cargo run --example xslt -- STYLESHEET INPUT|- [--param NAME=VALUE]...`

use std::io::{Write, stderr, stdout};
use std::path::{Path, absolute};
use std::time::Duration;

use playhouse::actors::{Generator, Schedule, Xslt, xslt::Limits};
use playhouse::{Director, Error, Event, Receipt, Result, sink};
use tokio::sync::mpsc::channel;

const USAGE: &str = "usage: xslt STYLESHEET INPUT|- [--param NAME=VALUE]...";

fn actor(stylesheet: &str, input: &str, options: &[String]) -> Result<Xslt> {
    // Whoever runs a command trusts its input; only recursion and depth keep their limits, for the sake of the stack.
    let limits = Limits { bytes: 1 << 30, nodes: u64::MAX, operations: u64::MAX, ..Limits::default() };
    let say = |text: &str| drop(writeln!(stderr(), "{text}"));
    let mut xslt = Xslt::from_file(stylesheet)?.limits(limits).allow_doctype().skip_unreadable().on_message(say);
    for file in [stylesheet, input] {
        let file = absolute(file).map_err(|error| Error::malformed(format!("`{file}` is no path: {error}")))?;
        xslt = xslt.allow_folder(file.parent().unwrap_or(Path::new("/")))?.document_path(file)?;
    }
    for option in options.chunks(2) {
        let pair = option.get(1).filter(|_| option[0] == "--param").and_then(|pair| pair.split_once('='));
        let (name, value) = pair.ok_or_else(|| Error::malformed(USAGE))?;
        // As for xsltproc, a stylesheet need not know it.
        xslt = if xslt.declares(name) { xslt.parameter(name, value)? } else { xslt };
    }
    Ok(xslt)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [stylesheet, input, options @ ..] = &arguments[..] else { return Err(Error::malformed(USAGE)) };
    let xslt = actor(stylesheet, input, options)?;
    let document = std::fs::read(if input == "-" { "/dev/stdin" } else { input });
    let document = document.map_err(|error| Error::not_found(format!("`{input}` cannot be read: {error}")))?;
    let (tell, mut told) = channel(1);
    let read = Generator::making(Schedule { count: Some(1), ..Schedule::default() }, move |_| {
        let tell = tell.clone();
        // The receipt tells how it ended: written, or with the first failure.
        Event::new(document.clone()).with_receipt(Receipt::new(move |outcome| drop(tell.try_send(outcome))))
    });
    let write = sink(|event: &Event| {
        let written = stdout().write_all(&event.payload().to_bytes()).and_then(|()| stdout().flush());
        written.map_err(|error| Error::gone("nobody reads the result").caused_by(error))
    });
    let mut director = Director::new("xslt");
    let [read, xslt] = [director.register("read", read), director.register("xslt", xslt)];
    let write = director.register("write", write);
    director.connect(read, xslt);
    director.connect(xslt, write);
    let running = director.build()?.start().await?;
    let outcome = told.recv().await.unwrap_or(Ok(()));
    running.stop(Duration::from_secs(5)).await.and(outcome)
}
