//! Certificates made on the spot.

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;

/// A self-signed certificate for some names.
pub(crate) struct Certificate {
    /// PEM of the certificate.
    pub(crate) certificate: String,
    /// PEM of its key.
    pub(crate) key: String,
    der: Vec<u8>,
}

impl Certificate {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::made(names, |_| {})
    }

    /// One whose time is over.
    pub(crate) fn expired(names: &[&str]) -> Self {
        Self::made(names, make_expired)
    }

    /// As `openssl req -x509` makes them: its own authority.
    pub(crate) fn of_authority(names: &[&str]) -> Self {
        Self::made(names, |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        })
    }

    /// The same, and its time is over.
    pub(crate) fn of_authority_expired(names: &[&str]) -> Self {
        Self::made(names, |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            make_expired(params);
        })
    }

    fn made(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    /// Writes `NAME.crt` and `NAME.key` into a directory.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        fs::write(directory.join(format!("{name}.crt")), &self.certificate).unwrap();
        fs::write(directory.join(format!("{name}.key")), &self.key).unwrap();
    }

    /// A server configuration with this certificate.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(
            rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![self.der.clone().into()], key)
                .unwrap(),
        )
    }

    /// A client configuration that trusts this certificate and nothing else.
    pub(crate) fn client(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone().into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Arc::new(
            rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    }
}

fn make_expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
}
