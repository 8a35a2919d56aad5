//! Certificates that nobody believes but who is told to.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::unique;

/// One for a name or an address, signed by itself. Its file goes when this does.
pub struct Certificate {
    pub file: PathBuf,
    pub pem: String,
    pub key_pem: String,
    pub config: Arc<ServerConfig>,
}

impl Certificate {
    pub fn of(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        let file = std::env::temp_dir().join(format!("{}.pem", unique("crm-certificate")));
        std::fs::write(&file, &pem).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        Self { file, pem, key_pem, config: Arc::new(config) }
    }

    pub fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
