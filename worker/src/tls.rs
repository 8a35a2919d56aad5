//! Whose certificates are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::{Database, SslMode};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Those of the system, and those of a file.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add(&mut roots, path)?;
    }
    verifying(roots)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let unreadable =
        |error: &dyn std::fmt::Display| format!("{}: no certificates can be read: {error}", path.display());
    let certificates: Vec<CertificateDer> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(unreadable(&"there is none"));
    }
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).map_err(|error| unreadable(&error))
}

fn verifying(roots: RootCertStore) -> Result<ClientConfig, String> {
    Ok(versions()?.with_root_certificates(roots).with_no_client_auth())
}

fn versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())
}

/// As the database's URL asks for it.
pub fn for_database(database: &Database) -> Result<ClientConfig, String> {
    match (&database.root, database.mode) {
        (Some(root), _) => {
            let mut roots = RootCertStore::empty();
            add(&mut roots, root)?;
            verifying(roots)
        }
        (None, SslMode::VerifyFull) => client(None),
        // Without sslrootcert libpq verifies nothing in these modes either: they keep out who listens, not who intervenes.
        (None, SslMode::Disable | SslMode::Prefer | SslMode::Require) => {
            let anybody = Anybody(provider().signature_verification_algorithms);
            Ok(versions()?.dangerous().with_custom_certificate_verifier(Arc::new(anybody)).with_no_client_auth())
        }
    }
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
