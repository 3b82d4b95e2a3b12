//! HTTPS, by rustls: a certificate and its key from PEM files, and HTTP/2 for who asks for it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use playhouse_engine::{Error, Result};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What a server needs to speak TLS. A clone is one reference count.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads the certificate, with those that vouch for it behind it, and its private key from PEM files.
    ///
    /// # Errors
    /// `NotFound` where a file cannot be read; `Malformed` where it holds no certificate or key, or they do not belong
    /// together. The error names the file.
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        Self::new(&read(certificates)?, &read(key)?, &|what| match what {
            Part::Certificates => format!("`{}`", certificates.display()),
            Part::Key => format!("`{}`", key.display()),
        })
    }

    /// Takes the certificate, with those that vouch for it behind it, and its private key as PEM text.
    ///
    /// # Errors
    /// `Malformed` where the text holds no certificate or key, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self> {
        Self::new(certificates, key, &|_| "the text".to_owned())
    }

    fn new(certificates: &[u8], key: &[u8], name: &dyn Fn(Part) -> String) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable("certificate", &name(Part::Certificates)).caused_by(error))?;
        if chain.is_empty() {
            return Err(unreadable("certificate", &name(Part::Certificates)));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| unreadable("private key", &name(Part::Key)).caused_by(error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("TLS has no version to speak").caused_by(error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| Error::malformed("the certificate and the key do not belong together").caused_by(error))?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands; tells also whether HTTP/2 was agreed on.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<(TlsStream<TcpStream>, bool)> {
        let stream = self.0.accept(socket).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, is_http2))
    }

    /// Shakes hands for another protocol than HTTP.
    #[cfg(feature = "smtp-in")]
    pub(crate) async fn accept_any(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut config = ServerConfig::clone(self.0.config());
        config.alpn_protocols.clear();
        TlsAcceptor::from(Arc::new(config)).accept(socket).await
    }
}

#[derive(Clone, Copy)]
enum Part {
    Certificates,
    Key,
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::not_found(format!("`{}` cannot be read", path.display())).caused_by(error))
}

fn unreadable(what: &str, name: &str) -> Error {
    Error::malformed(format!("{name} holds no {what} that can be read; expected PEM"))
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
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
