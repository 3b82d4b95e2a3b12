//! How a broker behaves. The same structure in code and in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::BrokerLimits;

/// How a broker behaves.
///
/// ```
/// use std::time::Duration;
///
/// use playhouse_mdp::protocol::BrokerSettings;
///
/// let in_code = BrokerSettings { expiry: Duration::from_secs(5), ..BrokerSettings::default() };
/// let in_a_file: BrokerSettings = toml::from_str("expiry = '5s'").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BrokerSettings {
    /// How often broker and worker tell each other that they live; 2.5 s by default. The same at both.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// For how many heartbeats a worker may be silent before it is taken for dead; 3 by default.
    ///
    /// A busy worker is held to it only where it is known to speak while it works: one of ours, or one that did so since
    /// it registered. Many others are single-threaded and silent until they have an answer.
    pub liveness: u32,
    /// How long a request may wait for a worker; 30 s by default. It counts anew where its worker died.
    #[serde(with = "humantime_serde")]
    pub expiry: Duration,
    /// How long a worker may be busy without an answer or a part of one; 120 s by default, nothing or 0 s for as long as it
    /// likes. Then it is disconnected, and another gets the request.
    #[serde(with = "humantime_serde")]
    pub busy_timeout: Option<Duration>,
    /// To how many workers a request is given, one after the other, before it fails; 3 by default.
    pub attempts: u32,
    /// Whether the broker has durable requests: then the services `titanic.*` are its own. Not by default.
    pub durable: bool,
    /// How much the peers may ask for.
    pub limits: BrokerLimits,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(2500),
            liveness: 3,
            expiry: Duration::from_secs(30),
            busy_timeout: Some(Duration::from_secs(120)),
            attempts: 3,
            durable: false,
            limits: BrokerLimits::default(),
        }
    }
}

impl BrokerSettings {
    /// Returns for how long a worker may be silent before it is taken for dead.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.heartbeat.saturating_mul(self.liveness.max(1))
    }

    /// Returns how long a worker may be busy, where there is a bound.
    pub(crate) fn busy_bound(&self) -> Option<Duration> {
        self.busy_timeout.filter(|time| !time.is_zero())
    }

    /// Returns how often to look for what took too long: often enough to be right within an eighth of the shortest time.
    pub(crate) fn interval(&self) -> Duration {
        let times = [Some(self.heartbeat), Some(self.expiry), self.busy_bound()];
        let shortest = times.into_iter().flatten().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_a_file() {
        let settings: BrokerSettings =
            toml::from_str("heartbeat = '100ms'\nbusy-timeout = '0s'\n[limits]\npeers = 8").unwrap();
        assert_eq!(settings.lifetime(), Duration::from_millis(300));
        assert_eq!(settings.interval(), Duration::from_micros(12_500));
        assert_eq!((settings.busy_bound(), settings.limits.peers), (None, 8));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = toml::from_str::<BrokerSettings>("hartbeat = '1s'").unwrap_err();
        assert!(error.to_string().contains("unknown field `hartbeat`"), "{error}");
    }

    #[test]
    fn times_without_end_are_no_trouble() {
        let settings = BrokerSettings { heartbeat: Duration::MAX, expiry: Duration::MAX, ..BrokerSettings::default() };
        assert_eq!(settings.lifetime(), Duration::MAX);
    }
}
