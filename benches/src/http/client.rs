//! A client for counts that a load generator cannot keep: so many requests and no more, so many connections and no less.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::http::PATH;

/// How many threads open connections at once; a connection that is held is nobody's turn.
const THREADS: usize = 4;

/// Returns a request that posts `body`.
#[must_use]
pub fn request(body: &str, authorization: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nAuthorization: {authorization}\r\n\r\n"
    );
    (head + body).into_bytes()
}

/// Sends `request` `count` times in all, on `connections` at once.
///
/// # Errors
/// Where one is not answered with 200.
pub fn ask(address: SocketAddr, request: &[u8], connections: usize, count: usize) -> io::Result<()> {
    let share = |number: usize| count * (number + 1) / connections - count * number / connections;
    in_threads(connections, |number| {
        let mut stream = connect(address)?;
        (0..share(number)).try_for_each(|_| exchange(&mut stream, request).map(drop))
    })
    .map(drop)
}

/// Opens `count` connections, sends `request` on each, and returns them.
///
/// # Errors
/// Where one is not answered with 200.
pub fn hold(address: SocketAddr, request: &[u8], count: usize) -> io::Result<Vec<TcpStream>> {
    let held = in_threads(THREADS, |number| {
        let open = |_| {
            let mut stream = connect(address)?;
            exchange(&mut stream, request)?;
            Ok(stream)
        };
        (number..count).step_by(THREADS).map(open).collect::<io::Result<Vec<_>>>()
    })?;
    Ok(held.into_iter().flatten().collect())
}

fn in_threads<T: Send>(count: usize, run: impl Fn(usize) -> io::Result<T> + Sync) -> io::Result<Vec<T>> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || run(number))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, io::Result<T>>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the client panicked")))
        };
        threads.into_iter().map(join).collect()
    })
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request on a connection of its own, and returns the body of its answer.
///
/// # Errors
/// Where it is not answered with 200.
pub fn answer(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let body = exchange(&mut connect(address)?, request)?;
    String::from_utf8(body).map_err(io::Error::other)
}

/// Sends one request, and returns the body of its answer.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut space = [0; 4096];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut space[filled..])?;
        if count == 0 {
            return Err(io::Error::other("the server closed before it had answered"));
        }
        filled += count;
        let Some(head) = space[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&space[..head]).to_ascii_lowercase();
        if !text.starts_with("http/1.1 200") {
            return Err(io::Error::other(format!("expected 200, found: {text}")));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: Option<usize> = length.and_then(|length| length.trim().parse().ok());
        let whole = head + 4 + length.ok_or_else(|| io::Error::other(format!("expected a length, found: {text}")))?;
        if whole > space.len() {
            return Err(io::Error::other(format!("expected an answer of at most {} bytes", space.len())));
        }
        if filled == whole {
            return Ok(space[head + 4..whole].to_vec());
        }
    }
}
