//! TLS of a listener: certificates and keys from the configuration.

use std::io;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsConfig;

/// Session tickets sent after a handshake: one is enough to come back with, and
/// each costs a key derivation.
const TICKETS: usize = 1;

/// Builds what handshakes need.
///
/// # Errors
/// A file that cannot be read, or that holds no certificate or key.
pub(crate) fn server_config(config: &TlsConfig) -> io::Result<ServerConfig> {
    let invalid = |error: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("http_server.tls: {error}"),
        )
    };
    let certificates = certificates(&config.certificate()?).map_err(|error| invalid(&error))?;
    if certificates.is_empty() {
        return Err(invalid(&"the certificate file holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&config.key()?).map_err(|error| invalid(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?;
    let builder = match config.client_ca()? {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(&pem).map_err(|error| invalid(&error))? {
                roots.add(certificate).map_err(|error| invalid(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| invalid(&error))?)
        }
    };
    let mut server = builder
        .with_single_cert(certificates, key)
        .map_err(|error| invalid(&error))?;
    server.send_tls13_tickets = TICKETS;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}
