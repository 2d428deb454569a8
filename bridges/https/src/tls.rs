//! Whom we trust to be a server.
//!
//! Thread: boot; the system's certificates are read from files. What can fail: there are none.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Whom we trust.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The certificates of the operating system.
    System,
    /// These only, PEM.
    Pem(Vec<u8>),
}

/// Trust in these roots and nobody else.
///
/// # Errors
/// Why there can be none, in words.
pub fn trust(roots: &Roots) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            if store.add_parsable_certificates(found.certs).0 == 0 {
                return Err("the operating system has no certificates of authorities; install its package of them, or name a file"
                    .to_owned());
            }
        }
        Roots::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added = certificate.map_err(|error| error.to_string());
                added.and_then(|one| store.add(one).map_err(|error| error.to_string()))?;
            }
            if store.is_empty() {
                return Err("the file of certificates holds none".to_owned());
            }
        }
    }
    // Named, because the program has two providers and rustls would not choose.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_no_trust() {
        for pem in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(trust(&Roots::Pem(pem.into())).is_err(), "{pem}");
        }
    }
}
