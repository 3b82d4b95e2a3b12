//! What a client needs to speak TLS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use playhouse_engine::{Error, Result};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pem::{Identity, add_authorities, no_pair, roots};

/// What a client needs to speak TLS: whom it trusts, and what it shows of itself. A clone is a few reference counts.
#[derive(Clone)]
pub struct TlsClient {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// Trusts the authorities in the PEM file `authorities`, and no others.
    ///
    /// # Errors
    /// `NotFound` where the file cannot be read; `Malformed` where it holds no authority.
    pub fn trusting(authorities: impl AsRef<Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        add_authorities(&mut roots, authorities.as_ref())?;
        Self::new(Arc::new(roots), None)
    }

    /// Trusts the authorities that the system trusts.
    ///
    /// # Errors
    /// `Unavailable` where the system has none.
    pub fn trusting_system() -> Result<Self> {
        Self::trusting_system_and(None)
    }

    /// Trusts the authorities that the system trusts, and those in the PEM file `authorities`.
    ///
    /// # Errors
    /// As [`TlsClient::trusting`] and [`TlsClient::trusting_system`].
    pub fn trusting_system_and(authorities: Option<&Path>) -> Result<Self> {
        Self::new(Arc::new(roots(authorities)?), None)
    }

    /// Shows a certificate to servers that ask for one: it, with those that vouch for it behind it, and its private key are read
    /// from PEM files.
    ///
    /// # Errors
    /// `NotFound` where a file cannot be read; `Malformed` where it holds no certificate or key, or they do not belong together.
    pub fn showing(self, certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        Self::new(self.roots, Some(Identity::from_files(certificates.as_ref(), key.as_ref())?))
    }

    fn new(roots: Arc<RootCertStore>, identity: Option<Identity>) -> Result<Self> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("TLS has no version to speak").caused_by(error))?
            .with_root_certificates(roots.clone());
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key).map_err(no_pair)?,
        };
        Ok(Self { roots, config: Arc::new(config) })
    }

    /// Shakes hands with a server that has to show that it is `host`.
    pub(crate) async fn connect<S>(&self, host: &str, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.config.clone()).connect(name, socket).await
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TlsClient")
    }
}
