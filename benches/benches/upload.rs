//! What an upload costs: MiB a second that go from a socket into a file, and how much memory the server takes for it.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use playhouse_benches::http::{Served, Serving, as_child, upload, upload_hyper};
use playhouse_benches::{Race, wanted};

const SERVERS: &[(&str, Serving)] = &[("upload", upload::serve), ("hyper", upload_hyper::serve)];

const SIZE: usize = 1 << 30;
const MEBIBYTE: f64 = (1 << 20) as f64;

/// More would keep the disk busy for long, which the next round meets.
const ROUNDS: usize = 3;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(code) = as_child(SERVERS) {
        return Ok(code);
    }
    if !wanted("upload-1g") {
        return Ok(ExitCode::SUCCESS);
    }
    let (ours, theirs) = (Served::start("upload")?, Served::start("hyper")?);
    send(ours.address, 1 << 20)?;
    send(theirs.address, 1 << 20)?;
    let before = (ours.resident()?, theirs.resident()?);
    let rate = |address| {
        let began = Instant::now();
        send(address, SIZE).expect("the server takes it");
        SIZE as f64 / MEBIBYTE / began.elapsed().as_secs_f64()
    };
    Race::new("upload-1g", "MiB/s")
        .ours("", || rate(ours.address))
        .peer("hyper", || rate(theirs.address))
        .run(Duration::MAX, ROUNDS);
    let grown =
        |server: &Served, before: u64| Ok::<_, io::Error>(server.peak()?.saturating_sub(before) as f64 / MEBIBYTE);
    eprintln!("  hyper took {:.1} MiB more at most", grown(&theirs, before.1)?);
    println!("FIGURE upload-growth {:.3} MiB 32", grown(&ours, before.0)?);
    Ok(ExitCode::SUCCESS)
}

/// Sends a body, and waits until the server says how much it has stored.
fn send(address: SocketAddr, size: usize) -> io::Result<()> {
    let piece = vec![b'x'; 256 * 1024];
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "POST /a HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n")?;
    let mut left = size;
    while left > 0 {
        let some = left.min(piece.len());
        socket.write_all(&piece[..some])?;
        left -= some;
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 201") && answer.ends_with(&format!("\r\n\r\n{size}")) {
        return Ok(());
    }
    Err(io::Error::other(format!("expected a file of {size} bytes, found `{answer}`")))
}
