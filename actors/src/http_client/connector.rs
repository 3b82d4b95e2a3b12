//! How connections are made: TCP, and TLS over it for an `https` URL.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use playhouse_engine::{Error, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::HttpClientSettings;

pub(super) type Connector = HttpsConnector<HttpConnector>;

pub(super) fn connector(is_https: bool, settings: &HttpClientSettings) -> Result<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.connect_deadline));
    // Nothing is trusted where nothing needs to be: to read the system's store takes milliseconds.
    let roots = if is_https { roots(settings.authorities.as_deref())? } else { RootCertStore::empty() };
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("TLS cannot be set up").caused_by(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp))
}

/// Reads the authorities that the system trusts, and those of a file. The system's, and not a list that is built in: an
/// operator adds a company's own there, and updates are the system's.
fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = file {
        let unreadable = |error: rustls::pki_types::pem::Error| {
            let message = format!("the certificate authorities in `{}` cannot be read", path.display());
            Error::unavailable(message).caused_by(error)
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let added = roots.add(certificate.map_err(unreadable)?);
            added.map_err(|error| {
                Error::malformed(format!("`{}` holds a certificate that is no authority's", path.display()))
                    .caused_by(error)
            })?;
        }
    }
    if roots.is_empty() {
        let message = "no certificate authorities are known; install the system's (`ca-certificates`), or name a file of \
                       them in the settings (`authorities`)";
        return Err(Error::unavailable(message));
    }
    Ok(roots)
}
