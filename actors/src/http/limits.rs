//! How much an HTTP client may ask for, and for how long. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much an HTTP client may ask for, and for how long.
///
/// ```
/// use playhouse_actors::http::HttpLimits;
///
/// let in_code = HttpLimits { body_size: 4096, ..HttpLimits::default() };
/// let in_a_file: HttpLimits = toml::from_str("body-size = 4096").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpLimits {
    /// How many bytes the head of a request may have; 16 KiB by default. Beyond: 431.
    pub head_size: usize,
    /// How many fields the head of a request may have; 100 by default. Beyond: 431.
    pub head_fields: usize,
    /// How many bytes the URI of a request may have; 8 KiB by default. Beyond: 414.
    pub uri_size: usize,
    /// How many bytes the body of a request may have; 1 MiB by default. Beyond: 413.
    pub body_size: usize,
    /// How many bytes the body of a request may have that a route takes in parts; 1 GiB by default. Beyond: 413.
    pub streamed_size: usize,
    /// How many bytes of such a body may be on their way through the flow; 1 MiB by default. Meanwhile no more is read.
    pub window: usize,
    /// How many bytes of an answer that comes in parts may wait for the client; 8 MiB by default. A part counts for 1 KiB at least.
    /// Beyond, it is broken off.
    pub answer_window: usize,
    /// How long such an answer may wait for its next part; 30 s by default. Later, it is broken off.
    #[serde(with = "humantime_serde")]
    pub answer_idle: Duration,
    /// How long the head of a request may take to arrive; 10 s by default. Later: 408.
    #[serde(with = "humantime_serde")]
    pub head_time: Duration,
    /// How many bytes of a body must arrive in a second, measured over [`HttpLimits::rate_window`], and how many of an
    /// answer must be taken; 1 KiB by default. Slower: 408, or the connection is closed.
    pub slowest_rate: u32,
    /// Over what time [`HttpLimits::slowest_rate`] is measured; 5 s by default.
    #[serde(with = "humantime_serde")]
    pub rate_window: Duration,
    /// How long a request may take from its head to its answer; 30 s by default. Its event has the same deadline.
    /// Later: 504.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// How long a connection may stay open without a request; 60 s by default.
    #[serde(with = "humantime_serde")]
    pub idle_time: Duration,
    /// How long a TLS handshake may take; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub handshake_time: Duration,
    /// How many connections may be open at once; 1,024 by default. Beyond: 503, and the connection is closed.
    pub connections: usize,
    /// How many requests one HTTP/2 connection may have open at once; 128 by default.
    pub streams: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_size: 16 * 1024,
            head_fields: 100,
            uri_size: 8 * 1024,
            body_size: 1024 * 1024,
            streamed_size: 1024 * 1024 * 1024,
            window: 1024 * 1024,
            answer_window: 8 * 1024 * 1024,
            answer_idle: Duration::from_secs(30),
            head_time: Duration::from_secs(10),
            slowest_rate: 1024,
            rate_window: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            handshake_time: Duration::from_secs(10),
            connections: 1024,
            streams: 128,
        }
    }
}

impl HttpLimits {
    /// Returns how often to look for what took too long: often enough to be right within an eighth of the shortest time.
    pub(crate) fn tick(&self) -> Duration {
        let times =
            [self.head_time, self.rate_window, self.deadline, self.idle_time, self.handshake_time, self.answer_idle];
        let shortest = times.into_iter().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_from_a_file() {
        let limits: HttpLimits = toml::from_str("head-time = '250ms'\nconnections = 8").unwrap();
        let expected = HttpLimits { head_time: Duration::from_millis(250), connections: 8, ..HttpLimits::default() };
        assert_eq!(limits, expected);
        assert_eq!(limits.tick(), Duration::from_micros(31_250));
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        let error = toml::from_str::<HttpLimits>("body = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field `body`"), "{error}");
    }
}
