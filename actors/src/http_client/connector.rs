//! How connections are made: TCP, and TLS over it for an `https` URL.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use playhouse_engine::{Error, Result};
use rustls::{ClientConfig, RootCertStore};

use super::HttpClientSettings;
use crate::authorities::roots;

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
