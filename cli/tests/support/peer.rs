//! A client and a worker of Majordomo 0.2 on the bare wire.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wire::{Frames, Wire};

const CLIENT: &[u8] = b"MDPC02";
const WORKER: &[u8] = b"MDPW02";

/// How often a worker beats: oftener than any broker asks for.
const BEAT: Duration = Duration::from_secs(1);

/// After how long a silence a worker comes again.
const SILENCE: Duration = Duration::from_secs(8);

/// A client with one connection and one request at a time.
pub(crate) struct Client {
    pub(crate) wire: Wire,
}

impl Client {
    pub(crate) fn connect(endpoint: &str) -> io::Result<Self> {
        Ok(Self { wire: Wire::connect(endpoint, "DEALER", b"")? })
    }

    /// Asks, and returns the body of the final reply.
    pub(crate) fn ask<T: AsRef<[u8]>>(&mut self, service: &str, body: &[T], patience: Duration) -> io::Result<Frames> {
        let mut frames = vec![CLIENT, &[1], service.as_bytes()];
        frames.extend(body.iter().map(T::as_ref));
        self.wire.send(&frames)?;
        let deadline = Instant::now() + patience;
        loop {
            let mut frames = self.wire.receive(deadline)?;
            if frames.len() < 4 || frames[0] != CLIENT || frames[2] != service.as_bytes() {
                return Err(io::Error::other(format!("expected a reply of `{service}`, found {frames:?}")));
            }
            if frames[1] == [3] {
                return Ok(frames.split_off(3));
            }
        }
    }

    /// Asks for `text`, and says whether that comes back.
    pub(crate) fn echo(&mut self, service: &str, text: &str, patience: Duration) -> io::Result<()> {
        let reply = self.ask(service, &[text], patience)?;
        if reply == [text.as_bytes()] {
            return Ok(());
        }
        Err(io::Error::other(format!("expected `{text}`, found {reply:?}")))
    }
}

/// A worker on a thread of its own that echoes, and that comes again whatever becomes of its broker.
pub(crate) struct Worker {
    ended: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start(endpoint: &str, service: &str) -> Self {
        let (ended, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let thread = {
            let (ended, served) = (ended.clone(), served.clone());
            let (endpoint, service) = (endpoint.to_owned(), service.to_owned());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    // The broker is gone, or sent it away: both are what it comes again for.
                    let _ = serve(&endpoint, &service, &ended, &served);
                    std::thread::park_timeout(Duration::from_millis(50));
                }
            })
        };
        Self { ended, served, thread: Some(thread) }
    }

    /// Returns how many requests it has answered.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(endpoint: &str, service: &str, ended: &AtomicBool, served: &AtomicUsize) -> io::Result<()> {
    let mut wire = Wire::connect(endpoint, "DEALER", b"")?;
    wire.send(&[WORKER, &[1], service.as_bytes()])?;
    let (mut heard, mut beaten) = (Instant::now(), Instant::now());
    while !ended.load(Ordering::Relaxed) && heard.elapsed() < SILENCE {
        match wire.receive(Instant::now() + Duration::from_millis(200)) {
            Ok(frames) if frames.len() >= 5 && frames[..2] == [WORKER, &[2]] => {
                let mut reply: Vec<&[u8]> = vec![WORKER, &[4]];
                reply.extend(frames[2..].iter().map(Vec::as_slice));
                wire.send(&reply)?;
                served.fetch_add(1, Ordering::Relaxed);
                heard = Instant::now();
            }
            Ok(frames) if frames == [WORKER, &[6]] => return Ok(()),
            Ok(_) => heard = Instant::now(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
        if beaten.elapsed() >= BEAT {
            wire.send(&[WORKER, &[5]])?;
            beaten = Instant::now();
        }
    }
    Ok(())
}
