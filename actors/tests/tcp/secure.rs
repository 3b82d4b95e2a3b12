//! TLS, with good certificates and bad ones.

use std::path::PathBuf;

use playhouse_actors::{Tls, TlsClient};
use playhouse_engine::{Event, Kind};
use tempfile::TempDir;

use super::*;

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
struct Certificate(TempDir);

impl Certificate {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), certified.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }
}

async fn secured(tls: Tls) -> (Probe, String) {
    let (listener, address) = listener();
    let source = TcpSource::on(listener, TcpSourceSettings::default()).unwrap().with_tls(tls);
    (Probe::new(source).await.unwrap(), address)
}

async fn connect(address: &str, tls: TlsClient) -> Probe {
    let settings = TcpSinkSettings { time_out: Duration::from_millis(500), ..quick() };
    Probe::new(TcpSink::to([address], settings).unwrap().with_tls(tls)).await.unwrap()
}

#[tokio::test]
async fn events_come_over_tls_from_who_trusts_the_certificate() {
    let (ours, other) = (Certificate::new(), Certificate::new());
    let (mut source, address) = secured(Tls::from_pem_files(ours.path(), ours.key()).unwrap()).await;
    let trusting = connect(&address, TlsClient::trusting(ours.path()).unwrap()).await;
    trusting.send(Event::new("a".repeat(100_000))).await.unwrap();
    assert_eq!(source.output().await.unwrap().payload().to_bytes().len(), 100_000);
    assert_eq!(trusting.stop().await.unwrap().failed, 0);

    let mut wary = connect(&address, TlsClient::trusting(other.path()).unwrap()).await;
    wary.send(Event::new("b")).await.unwrap();
    let failed = wary.error().await.unwrap();
    let error = failed.error().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    drop(failed);
    wary.stop().await.unwrap();

    // Without TLS there is nothing to hear from either side.
    let mut plain = sink(&address, TcpSinkSettings { time_out: Duration::from_millis(500), ..quick() }).await;
    plain.send(Event::new("c")).await.unwrap();
    assert_eq!(plain.error().await.unwrap().error().unwrap().kind(), Kind::Unavailable);
    plain.stop().await.unwrap();
    source.stop().await.unwrap();
}

#[tokio::test]
async fn where_clients_are_asked_for_certificates_only_those_that_are_known_come_in() {
    let (ours, known, unknown) = (Certificate::new(), Certificate::new(), Certificate::new());
    let tls = Tls::from_pem_files(ours.path(), ours.key()).unwrap().for_clients_of(known.path()).unwrap();
    let (mut source, address) = secured(tls).await;
    let trusting = || TlsClient::trusting(ours.path()).unwrap();
    let client = connect(&address, trusting().showing(known.path(), known.key()).unwrap()).await;
    client.send(Event::new("a")).await.unwrap();
    assert_eq!(source.output().await.unwrap().payload().to_string(), "a");
    assert_eq!(client.stop().await.unwrap().failed, 0);
    for stranger in [trusting(), trusting().showing(unknown.path(), unknown.key()).unwrap()] {
        let mut client = connect(&address, stranger).await;
        client.send(Event::new("b")).await.unwrap();
        assert_eq!(client.error().await.unwrap().error().unwrap().kind(), Kind::Unavailable);
        client.stop().await.unwrap();
    }
    source.stop().await.unwrap();
}

#[test]
fn what_is_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    let error = TlsClient::trusting(&file).unwrap_err();
    assert_eq!(error.message(), format!("`{}` holds no certificate that can be read; expected PEM", file.display()));
    assert_eq!(TlsClient::trusting("nowhere.pem").unwrap_err().kind(), Kind::NotFound);
}
