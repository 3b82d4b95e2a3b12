//! A machine and its store, run without a broker.

#![allow(dead_code, clippy::unwrap_used, reason = "not every test asks for everything")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse_mdp::protocol::{Address, Frames, Requester, Service, Version};
use playhouse_mdp::titanic::{Order, Store, Titanic, TitanicOutput, TitanicSettings};

/// How long the disk may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Broker {
    pub(crate) titanic: Titanic,
    pub(crate) store: Store,
    pub(crate) answers: Vec<Frames>,
}

impl Broker {
    #[track_caller]
    pub(crate) fn open(folder: &std::path::Path, settings: &TitanicSettings) -> Self {
        let (store, recovered) = Store::open(folder, settings).unwrap();
        assert_eq!(recovered.damages(), 0);
        let titanic = Titanic::new(settings.clone(), recovered, Instant::now());
        Self { titanic, store, answers: Vec::new() }
    }

    /// Asks, and lets the store begin.
    pub(crate) fn ask(&mut self, service: &'static str, body: Frames) {
        let requester = Requester { address: Address::new("client"), version: Version::V2 };
        let mut outputs = Vec::new();
        self.titanic.request(requester, &Service::new(service).unwrap(), body, Instant::now(), &mut outputs);
        self.take(outputs);
    }

    /// Waits for the store until everything was answered, and returns the answers.
    pub(crate) async fn answers(&mut self) -> Vec<Frames> {
        while self.titanic.waits_for_store() {
            let report = tokio::time::timeout(PATIENCE, self.store.report()).await;
            let report = report.expect("the store reports in time").expect("the store lives");
            let mut outputs = Vec::new();
            self.titanic.stored(report, Instant::now(), &mut outputs);
            self.take(outputs);
        }
        std::mem::take(&mut self.answers)
    }

    pub(crate) async fn call(&mut self, service: &'static str, body: &[&str]) -> Frames {
        self.ask(service, body.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect());
        self.answers().await.remove(0)
    }

    fn take(&mut self, outputs: Vec<TitanicOutput>) {
        for output in outputs {
            match output {
                TitanicOutput::Answer { body, .. } => self.answers.push(body),
                TitanicOutput::Store(order) => self.give(order),
                TitanicOutput::Submit { .. } => unreachable!("there are no workers"),
            }
        }
    }

    fn give(&self, order: Order) {
        self.store.send(order).unwrap();
    }
}
