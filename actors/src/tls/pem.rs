//! Certificates, keys and authorities as PEM.

use std::path::Path;

use playhouse_engine::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
#[cfg(feature = "tls")]
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// What somebody shows of itself: its certificate, those that vouch for it behind it, and its private key.
#[cfg(feature = "tls")]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

#[cfg(feature = "tls")]
impl Identity {
    pub(super) fn from_files(certificates: &Path, key: &Path) -> Result<Self> {
        let names = (shown(certificates), shown(key));
        Self::new(&read(certificates)?, &read(key)?, (&names.0, &names.1))
    }

    pub(super) fn from_text(certificates: &[u8], key: &[u8]) -> Result<Self> {
        Self::new(certificates, key, ("the text", "the text"))
    }

    fn new(certificates: &[u8], key: &[u8], names: (&str, &str)) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| unreadable("certificate", names.0).caused_by(error))?;
        if chain.is_empty() {
            return Err(unreadable("certificate", names.0));
        }
        let key = PrivateKeyDer::from_pem_slice(key);
        Ok(Self { chain, key: key.map_err(|error| unreadable("private key", names.1).caused_by(error))? })
    }
}

/// Returns the error for an identity whose parts do not fit.
#[cfg(feature = "tls")]
pub(super) fn no_pair(error: rustls::Error) -> Error {
    Error::malformed("the certificate and the key do not belong together").caused_by(error)
}

/// Adds the authorities in the PEM file `path`.
pub(super) fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<()> {
    let name = shown(path);
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&read(path)?) {
        let certificate = certificate.map_err(|error| unreadable("certificate", &name).caused_by(error))?;
        roots.add(certificate).map_err(|error| {
            Error::malformed(format!("{name} holds a certificate that is no authority's")).caused_by(error)
        })?;
    }
    if roots.len() == before { Err(unreadable("certificate", &name)) } else { Ok(()) }
}

/// Returns the authorities that the system trusts, and those in the PEM file `beside`.
pub(crate) fn roots(beside: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = system_authorities();
    if let Some(path) = beside {
        add_authorities(&mut roots, path)?;
    }
    if roots.is_empty() {
        let message =
            "no certificate authorities are known; install the system's (`ca-certificates`), or name a file of them";
        return Err(Error::unavailable(message));
    }
    Ok(roots)
}

/// Returns the authorities that the system trusts. The system's, and not a list that is built in: an operator adds a company's own
/// there, and updates are the system's.
fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::not_found(format!("{} cannot be read", shown(path))).caused_by(error))
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}

fn unreadable(what: &str, name: &str) -> Error {
    Error::malformed(format!("{name} holds no {what} that can be read; expected PEM"))
}
