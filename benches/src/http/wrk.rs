//! Load by wrk, on one thread.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::http::PATH;

/// The script that tells wrk what to post.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wrk/post.lua");

/// What load to put on a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many connections are kept alive, each with one request at a time.
    pub connections: usize,
    /// For how long.
    pub time: Duration,
    /// What is posted.
    pub body: String,
    /// The `Authorization` that goes with it.
    pub authorization: String,
}

/// What wrk saw.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// How many requests were answered.
    pub requests: f64,
    /// How many requests were answered in a second.
    pub rate: f64,
    /// How long the 99th of 100 answers took, in milliseconds.
    pub p99: f64,
}

impl Load {
    /// Puts the load on the server at `address`.
    ///
    /// # Panics
    /// Where wrk is missing, or where a request is not answered with 200: what is measured then would mean nothing.
    #[must_use]
    pub fn on(&self, address: SocketAddr) -> Measured {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--latency", "--script", SCRIPT])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.time.as_secs())])
            .arg(format!("http://{address}{PATH}"))
            .arg("--")
            .arg(&self.body)
            .arg(&self.authorization)
            .output()
            .expect("wrk is installed: see scripts/install");
        let text = String::from_utf8_lossy(&output.stdout);
        let is_good = output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors");
        assert!(is_good, "every request is answered:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let field = |label: &str| {
            let found = text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
            found.unwrap_or_else(|| panic!("wrk tells `{label}`:\n{text}"))
        };
        let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")).map(|(count, _)| count);
        Measured {
            requests: number(requests.unwrap_or_default()),
            rate: number(field("Requests/sec:")),
            p99: milliseconds(field("99%")),
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("wrk tells a number, not `{text}`"))
}

fn milliseconds(text: &str) -> f64 {
    let split = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (figure, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => panic!("wrk tells us, ms or s, not `{text}`"),
    };
    number(figure) * scale
}
