//! What the broker says about itself to whoever asks (RFC 8): `mmi.service` as the RFC has it, and three of our own.

use std::time::Instant;

use bytes::Bytes;

use super::super::{Frames, Service};
use super::Broker;

/// The services of RFC 9, which a broker with durable requests has without a worker.
const DURABLE: [&str; 3] = ["titanic.request", "titanic.reply", "titanic.close"];

impl Broker {
    /// Answers a request for one of the services `mmi.*`.
    pub(super) fn management(&self, service: &Service, body: &Frames, now: Instant) -> Frames {
        let name = body.first().cloned().unwrap_or_default();
        match service.as_str() {
            "mmi.service" => vec![Bytes::from_static(if self.has_service(name) { b"200" } else { b"404" })],
            "mmi.workers" => {
                let count = Service::new(name).map_or(0, |service| self.workers(&service));
                success(count.to_string().into())
            }
            "mmi.services" => {
                let mut names: Vec<_> = self.services.names().map(Service::as_str).collect();
                names.sort_unstable();
                as_json(&names)
            }
            "mmi.stats" => as_json(&self.statistics(now)),
            _ => vec![Bytes::from_static(b"501")],
        }
    }

    fn has_service(&self, name: Bytes) -> bool {
        Service::new(name).is_ok_and(|service| {
            self.workers(&service) > 0 || self.settings.durable && DURABLE.contains(&service.as_str())
        })
    }
}

fn success(answer: Bytes) -> Frames {
    vec![Bytes::from_static(b"200"), answer]
}

fn as_json(value: &impl serde::Serialize) -> Frames {
    match serde_json::to_vec(value) {
        Ok(json) => success(json.into()),
        Err(_) => vec![Bytes::from_static(b"500")],
    }
}
