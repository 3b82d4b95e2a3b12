//! Which certificate authorities a client trusts.

use std::path::Path;

use playhouse_engine::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Reads the authorities that the system trusts, and those of a file. The system's, and not a list that is built in: an
/// operator adds a company's own there, and updates are the system's.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCertStore> {
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
