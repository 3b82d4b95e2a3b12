//! What a server needs to speak TLS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use playhouse_engine::{Error, Result};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pem::{Identity, add_authorities, no_pair};

/// What a server needs to speak TLS: its certificate and its key. A clone is a few reference counts.
#[derive(Clone)]
pub struct Tls {
    identity: Arc<Identity>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate, with those that vouch for it behind it, and its private key from PEM files.
    ///
    /// # Errors
    /// `NotFound` where a file cannot be read; `Malformed` where it holds no certificate or key, or they do not belong
    /// together. The error names the file.
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        Self::new(Arc::new(Identity::from_files(certificates.as_ref(), key.as_ref())?), None)
    }

    /// Takes the certificate, with those that vouch for it behind it, and its private key as PEM text.
    ///
    /// # Errors
    /// `Malformed` where the text holds no certificate or key, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        Self::new(Arc::new(Identity::from_text(certificates, key)?), None)
    }

    /// Lets in only clients that show a certificate that an authority in the PEM file `authorities` vouches for.
    ///
    /// # Errors
    /// `NotFound` where the file cannot be read; `Malformed` where it holds no authority.
    pub fn for_clients_of(self, authorities: impl AsRef<Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        add_authorities(&mut roots, authorities.as_ref())?;
        Self::new(self.identity, Some(roots))
    }

    fn new(identity: Arc<Identity>, clients: Option<RootCertStore>) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("TLS has no version to speak").caused_by(error))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| Error::internal("no client could be verified").caused_by(error))?,
                )
            }
        };
        let config = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key()).map_err(no_pair)?;
        Ok(Self { identity, config: Arc::new(config) })
    }

    /// Makes what shakes hands, for a server that speaks `protocols` over TLS.
    pub(crate) fn acceptor(&self, protocols: &[&[u8]]) -> Acceptor {
        let mut config = (*self.config).clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Acceptor(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Shakes hands with clients. A clone is one reference count.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(socket).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Acceptor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = Tls::from_pem_files("nowhere.pem", "nowhere.key").unwrap_err();
        assert_eq!(error.message(), "`nowhere.pem` cannot be read");
        let error = Tls::from_pem(b"nothing", b"nothing").unwrap_err();
        assert_eq!(error.message(), "the text holds no certificate that can be read; expected PEM");
    }
}
