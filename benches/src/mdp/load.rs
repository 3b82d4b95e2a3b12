//! What load is put on a broker, and what came of it: as words and as a line, because clients are processes of their own.

use std::io;

/// What load to put on a broker.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many clients there are with one request each at a time; with one client, how many requests it has at a time.
    pub clients: usize,
    /// How many requests a client has under way at once. More than one only where there is one client.
    pub window: usize,
    /// How many bytes a body has.
    pub bytes: usize,
    /// How many requests are sent in all.
    pub requests: usize,
    /// How many are sent in a second; as many as are answered, with none.
    pub rate: Option<usize>,
    /// Whether they are durable requests: answered when they are stored.
    pub durable: bool,
}

impl Load {
    /// Means one client that has `window` requests of `bytes` under way, until `requests` are answered.
    #[must_use]
    pub fn window(window: usize, bytes: usize, requests: usize) -> Self {
        Self { clients: 1, window, bytes, requests, rate: None, durable: false }
    }

    /// Returns the words behind the service's name that tell a client of it: see `benches/c/client.c`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let (mode, number) = if self.window > 1 { ("window", self.window) } else { ("sync", self.clients) };
        let mut words = vec![mode.to_owned(), number.to_string(), self.bytes.to_string(), self.requests.to_string()];
        words.extend(self.rate.map(|rate| format!("rate={rate}")));
        words.extend(self.durable.then(|| format!("before={}", super::SERVICE)));
        words
    }
}

/// What a client saw.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// How many requests were answered in a second.
    pub rate: f64,
    /// How long the middle answer took, in microseconds.
    pub p50: f64,
    /// How long the 99th of 100 answers took, in microseconds.
    pub p99: f64,
}

impl Measured {
    /// Reads what a client printed: `answered N rate N p50 N p99 N`.
    pub(crate) fn read(line: &str) -> io::Result<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let number = |name: &str| {
            let value = words.iter().skip_while(|word| **word != name).nth(1).and_then(|text| text.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("expected `{name}` and a number, found `{line}`")))
        };
        Ok(Self { rate: number("rate")?, p50: number("p50")?, p99: number("p99")? })
    }
}
